"""Cuts the images of a run's discs or bodies, and their features, once: what is cached is not made again."""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from spinenet.added_findings import Of
from spinenet.errors import DiscError, ScanError
from spinenet.geometry import to_square_pixels
from spinenet.readers.series import read_scan
from spinenet.stages.crops import body_volume, disc_pairs, disc_volume
from spinenet.storage import Store, digest
from spinenet.training.tuning.found import FoundScan
from spinenet.training.tuning.variations import varied
from spinenet.weights.loaded import WeightsRef, networks_for

_log = logging.getLogger(__name__)

CUT_VERSION, VARIED_VERSION = 1, 1
"""Of how images are cut, and of how their copies are varied: part of the names of what is cached."""

VOLUMES, FEATURES = "volumes", "features"
"""Folders of the cache."""

_BATCH = 8

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Wanted:
    """What is made of each scan.

    Attributes
    ----------
    of
        Whether its discs or its vertebrae are cut.
    ref
        The bundle whose trunk gives features; None leaves them out.
    copies
        Varied copies that have features too.
    """

    of: Of
    ref: WeightsRef | None = None
    grading_digest: str = ""
    copies: int = 0
    device: str = "cpu"

    @property
    def kind(self) -> str:
        """The folder of the cache with what is learnt from."""
        return VOLUMES if self.ref is None else FEATURES


@dataclass(frozen=True)
class Piece:
    """What a process made of one scan: files for the cache, or why there is none."""

    volumes: bytes | None = None
    features: bytes | None = None
    failure: str = ""


@dataclass
class CutCount:
    """How many scans were cut, passed through the trunk, found in the cache, and left out, with reasons."""

    cut: int = 0
    passed: int = 0
    cached: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def volumes_key(scan: FoundScan, of: Of) -> str:
    """Name of a scan's images in the cache: by what was cut, of which input, at which outlines.

    It depends on no finding and no weights but through the outlines and their names: a run that is graded
    anew finds the images of its earlier generation.
    """
    outlines = [[v.level, list(v.slices), v.quads.ravel().tolist()] for v in scan.vertebrae]
    facts = [CUT_VERSION, of, scan.entry.scan_id, scan.input_fingerprint, outlines]
    return digest(json.dumps(facts).encode())


def features_key(volumes: str, wanted: Wanted) -> str:
    """Name of a scan's features in the cache: by its images, the trunk, and the copies."""
    facts = [volumes, wanted.grading_digest, wanted.copies, VARIED_VERSION]
    return digest(json.dumps(facts).encode())


def cut(scan: FoundScan, of: Of) -> Arrays:
    """(9, 112, 224) float16 images of a scan's discs or bodies, by place; what cannot be cut is left out.

    Raises
    ------
    ScanError
        The scan cannot be read any more, or is not the one in which was detected.
    """
    entry = scan.entry
    stored = read_scan(entry.path, series_uid=entry.series_uid, overrides=entry.overrides)
    if stored.fingerprint != scan.input_fingerprint:
        raise ScanError("unreadable", "the files have changed since the run read them")
    volume = to_square_pixels(stored).volume
    images: Arrays = {}
    if of == "vertebra":
        for vertebra in scan.vertebrae:
            if vertebra.level and vertebra.level not in images:
                with suppress(DiscError):
                    images[vertebra.level] = body_volume(volume, vertebra).astype(np.float16)
        return images
    for pair in disc_pairs(scan.vertebrae):
        if pair.level not in images:
            with suppress(DiscError):
                images[pair.level] = disc_volume(volume, pair.below, pair.above).astype(np.float16)
    return images


def passed(images: Arrays, wanted: Wanted, seed: int) -> Arrays:
    """(copies + 1, n) features of each image by place, the unvaried one first."""
    import torch

    from spinenet.inference.passes import pass_through
    from spinenet.networks.added import TrunkFeatures

    assert wanted.ref is not None
    networks, _ = networks_for(wanted.ref, wanted.device, "here")
    trunk = TrunkFeatures(networks.grading)
    made: Arrays = {}
    with torch.inference_mode():
        for number, (place, image) in enumerate(sorted(images.items())):
            rng = np.random.default_rng([seed, number])
            plain = image.astype(np.float32)
            both = np.stack([plain, *(varied(plain, rng) for _ in range(wanted.copies))])[:, None]
            made[place] = pass_through(trunk, both, _BATCH)[0]
    return made


def piece(scan: FoundScan, wanted: Wanted, volumes: bytes | None) -> Piece:
    """Make what the cache lacks of a scan, in whatever process: images if none are given, and features."""
    key = volumes_key(scan, wanted.of)
    try:
        images = cut(scan, wanted.of) if volumes is None else load(volumes)
    except ScanError as error:
        return Piece(failure=str(error))
    features = None
    if wanted.ref is not None:
        features = save(passed(images, wanted, int(key[:15], 16)))
    return Piece(save(images) if volumes is None else None, features)


def made(
    store: Store, scans: Sequence[FoundScan], wanted: Wanted, pool: Executor, count: CutCount, ahead: int = 8
) -> Iterator[tuple[FoundScan, Arrays]]:
    """Images of each scan or, where a trunk is given, their features: from the cache, else made for it.

    Parameters
    ----------
    store
        The cache.
    pool
        Whose processes cut; a few scans ahead, so that memory does not grow with the cohort.
    count
        Is told what was done.
    """
    waiting: deque[_Begun] = deque()
    for scan in scans:
        waiting.append(_begun(store, scan, wanted, pool))
        if len(waiting) > ahead:
            yield from _ended(store, waiting.popleft(), wanted, count)
    while waiting:
        yield from _ended(store, waiting.popleft(), wanted, count)


@dataclass(frozen=True)
class _Begun:
    """A scan, the names of its files in the cache, and the work on it; None where the cache has it."""

    scan: FoundScan
    names: Mapping[str, str]
    work: Future[Piece] | None


def _names(scan: FoundScan, wanted: Wanted) -> Mapping[str, str]:
    key = volumes_key(scan, wanted.of)
    return {
        VOLUMES: f"{VOLUMES}/{key[:2]}/{key}.safetensors",
        FEATURES: f"{FEATURES}/{key[:2]}/{features_key(key, wanted)}.safetensors",
    }


def _begun(store: Store, scan: FoundScan, wanted: Wanted, pool: Executor) -> _Begun:
    names = _names(scan, wanted)
    if store.exists(names[wanted.kind]):
        return _Begun(scan, names, None)
    volumes = store.read_many([names[VOLUMES]]).get(names[VOLUMES])
    usable = volumes if volumes and _loaded(volumes) is not None else None
    return _Begun(scan, names, pool.submit(piece, scan, wanted, usable))


def _ended(
    store: Store, begun: _Begun, wanted: Wanted, count: CutCount
) -> Iterator[tuple[FoundScan, Arrays]]:
    scan, names = begun.scan, begun.names
    if begun.work is None:
        held = _loaded(store.read(names[wanted.kind]))
        if held is not None:
            count.cached += 1
            yield scan, held
            return
    done = piece(scan, wanted, None) if begun.work is None else begun.work.result()
    if done.failure:
        _log.warning("%s is left out: %s", scan.entry.scan_id, done.failure)
        count.failed[scan.entry.scan_id] = done.failure
        return
    contents = {VOLUMES: done.volumes, FEATURES: done.features}
    for kind, content in contents.items():
        if content is not None:
            store.write(names[kind], content)
    count.cut += done.volumes is not None
    count.passed += done.features is not None
    made_now = contents[wanted.kind]
    assert made_now is not None
    yield scan, load(made_now)


def _loaded(data: bytes) -> Arrays | None:
    """What a cached file holds; None where it cannot be read, and is to be made again."""
    try:
        return load(data)
    except SafetensorError:
        return None
