"""Cuts the images of a run's discs or bodies, and their features, once: what is cached is not made again."""

from __future__ import annotations

import json
import logging
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
    final = VOLUMES if wanted.ref is None else FEATURES
    waiting: list[tuple[FoundScan, Future[Piece] | None]] = []
    for scan in scans:
        waiting.append((scan, _begun(store, scan, wanted, pool)))
        if len(waiting) > ahead:
            yield from _ended(store, *waiting.pop(0), wanted, final, count)
    for scan, future in waiting:
        yield from _ended(store, scan, future, wanted, final, count)


def _names(scan: FoundScan, wanted: Wanted) -> Mapping[str, str]:
    key = volumes_key(scan, wanted.of)
    return {
        VOLUMES: f"{VOLUMES}/{key[:2]}/{key}.safetensors",
        FEATURES: f"{FEATURES}/{key[:2]}/{features_key(key, wanted)}.safetensors",
    }


def _begun(store: Store, scan: FoundScan, wanted: Wanted, pool: Executor) -> Future[Piece] | None:
    """The work on a scan; None where the cache has it."""
    names = _names(scan, wanted)
    if store.exists(names[VOLUMES if wanted.ref is None else FEATURES]):
        return None
    volumes = store.read_many([names[VOLUMES]]).get(names[VOLUMES])
    return pool.submit(piece, scan, wanted, volumes if volumes and _whole(volumes) else None)


def _ended(
    store: Store,
    scan: FoundScan,
    future: Future[Piece] | None,
    wanted: Wanted,
    final: str,
    count: CutCount,
) -> Iterator[tuple[FoundScan, Arrays]]:
    names = _names(scan, wanted)
    if future is None:
        data = store.read(names[final])
        if _whole(data):
            count.cached += 1
            yield scan, load(data)
            return
        done = piece(scan, wanted, None)
    else:
        done = future.result()
    if done.failure:
        _log.warning("%s is left out: %s", scan.entry.scan_id, done.failure)
        count.failed[scan.entry.scan_id] = done.failure
        return
    contents = {VOLUMES: done.volumes, FEATURES: done.features}
    for kind, data_or_none in contents.items():
        if data_or_none is not None:
            store.write(names[kind], data_or_none)
    count.cut += done.volumes is not None
    count.passed += done.features is not None
    data_of = contents[final]
    assert data_of is not None
    yield scan, load(data_of)


def _whole(data: bytes) -> bool:
    """Whether a cached file can be read; one that cannot is made again."""
    try:
        load(data)
    except SafetensorError:
        return False
    return True
