"""Training samples of real scans, whose vertebral bodies somebody outlined."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from spinenet.anatomy import FINDINGS, LEVEL_INDEX
from spinenet.errors import DiscError
from spinenet.geometry import Points
from spinenet.stages.crops import disc_pairs, disc_volume, vertebra_volume
from spinenet.training.contrast import looking, sample_look, sample_pose, volume_looking
from spinenet.training.labels.files import LabelledFile, Unused
from spinenet.training.labels.labelled import LabelledScan, LabelledSlice
from spinenet.training.labels.slabs import read_in_slabs
from spinenet.training.patches import patches_of
from spinenet.training.recipe import Augmentation
from spinenet.training.samples import (
    MOST_CLASSES,
    UNLABELLED,
    DiscSample,
    PatchSample,
    Sample,
    VertebraSample,
    shaded,
)
from spinenet.types import Vertebra

SLICES, PATCHES = 3, 2
"""Slices of a scan, and patches of each, that one draw gives the detector."""
KEPT_BYTES = 600 << 20
"""Bytes of scans that each process keeps, so that it need not read them again."""

_CORNER_SD, _MIDDLE_SD, _SIZE_SD = 0.025, 0.03, 0.05
"""Errors of the corners, the centre and the size of a vertebra's quad as a detector makes them, as shares of
its longest side."""


@dataclass(frozen=True, eq=False)
class Outlined:
    """The source of real scans; see :class:`spinenet.training.sources.Source`.

    Attributes
    ----------
    network
        Whose samples are made.
    files
        Scans to train on, by subject: subjects are drawn, and then one of their scans.
    kept_back
        Scans that score the network while it is trained.
    digest
        What tells these scans from others.
    augmentation
        Read for all but its tissues.
    """

    network: str
    files: Mapping[str, Sequence[LabelledFile]]
    kept_back: Sequence[LabelledFile]
    digest: str
    augmentation: Augmentation = Augmentation()
    _shelf: Shelf = field(default_factory=lambda: Shelf(KEPT_BYTES), repr=False)

    @property
    def class_counts(self) -> Mapping[str, Sequence[int]]:
        """By finding, how many training discs were given each class."""
        counts = {finding.name: [0] * finding.n_classes for finding in FINDINGS}
        if self.network == "grading":
            for scan in self._scans(chain.from_iterable(self.files.values())):
                for classes in scan.discs.values():
                    for name, index in classes.items():
                        counts[name][index] += 1
        return {name: of for name, of in counts.items() if any(of)}

    def draw(self, number: int) -> Iterator[Sample]:
        """Samples of one scan, varied."""
        rng = np.random.default_rng([number, 31])
        subject = list(self.files)[int(rng.integers(len(self.files)))]
        file = self.files[subject][int(rng.integers(len(self.files[subject])))]
        scan = self._shelf.read(file)
        if scan is not None:
            yield from self._samples(scan, rng, self.augmentation)

    def held_out(self) -> Iterator[Sample]:
        """Samples of the scans that are kept back, as they are."""
        for number, scan in enumerate(self._scans(self.kept_back)):
            yield from self._samples(scan, np.random.default_rng([number, 32]), Augmentation())

    def varied(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample with another gain and other noise."""
        return shaded(sample, rng, gain=self.augmentation.gain, noise=self.augmentation.noise)

    def _scans(self, files: Iterable[LabelledFile]) -> Iterator[LabelledScan]:
        return (scan for scan in map(self._shelf.read, files) if scan is not None)

    def _samples(
        self, scan: LabelledScan, rng: np.random.Generator, strengths: Augmentation
    ) -> Iterator[Sample]:
        if self.network == "detector":
            return detector_samples(scan, rng, strengths)
        if self.network == "appearance":
            return vertebra_samples(scan, rng, strengths)
        return grading_samples(scan, rng, strengths)


class Shelf:
    """Labelled scans that a process read, up to some bytes; another process begins with an empty one."""

    def __init__(self, most: int) -> None:
        self._most, self._bytes = most, 0
        self._scans: dict[tuple[str, str], LabelledScan | None] = {}

    def read(self, file: LabelledFile) -> LabelledScan | None:
        """The scan of a file, thin slices averaged as inference averages them; None if it cannot be used."""
        key = file.source, file.name
        if key in self._scans:
            return self._scans[key]
        read = read_in_slabs(file)
        scan = None if isinstance(read, Unused) else read
        size = 0 if scan is None else scan.volume.nbytes
        if self._bytes + size <= self._most:
            self._bytes += size
            self._scans[key] = scan
        return scan

    def __getstate__(self) -> dict[str, Any]:
        return {"_most": self._most, "_bytes": 0, "_scans": {}}


def detector_samples(
    scan: LabelledScan, rng: np.random.Generator, strengths: Augmentation
) -> Iterator[PatchSample]:
    """Patches of some slices."""
    slices = list(scan.slices())
    for k in rng.choice(len(slices), min(SLICES, len(slices)), replace=False):
        one = slices[int(k)]
        image, quads, counts = one.image, one.quads, one.counts()
        if strengths.pose:
            image, quads, counts = _posed(one, counts, rng)
        if rng.random() < strengths.contrast:
            image = looking(image, sample_look(rng), rng)
        yield from patches_of(image, list(quads), one.spacing_mm, rng, count=PATCHES, counts=counts)


def vertebra_samples(
    scan: LabelledScan, rng: np.random.Generator, strengths: Augmentation
) -> Iterator[VertebraSample]:
    """The vertebrae of a scan, their quads as inexact as a detector's."""
    volume = _varied_volume(scan, rng, strengths)
    for vertebra in scan.vertebrae:
        quad = _inexact(vertebra.mean_quad, rng) if strengths.pose else vertebra.mean_quad
        image = vertebra_volume(volume, quad)
        if image.any():
            yield VertebraSample(image.astype(np.float16), LEVEL_INDEX[str(vertebra.level)])


def grading_samples(
    scan: LabelledScan, rng: np.random.Generator, strengths: Augmentation
) -> Iterator[DiscSample]:
    """The graded discs of a scan."""
    volume = _varied_volume(scan, rng, strengths)
    added = (volume.shape[2] - scan.volume.shape[2]) // 2
    bodies = [Vertebra(tuple(k + added for k in v.slices), v.quads, v.level) for v in scan.vertebrae]
    if strengths.pose:
        bodies = [Vertebra(v.slices, _inexact(v.quads, rng), v.level) for v in bodies]
    for pair in disc_pairs(tuple(bodies)):
        classes, allowed = scan.discs.get(pair.level, {}), scan.allowed.get(pair.level, {})
        if not classes and not allowed:
            continue
        try:
            image = disc_volume(volume, pair.below, pair.above)
        except DiscError:
            continue
        if added or rng.random() < 0.3:
            image = _fewer_slices(image, rng) if strengths.pose else image
        given = np.array([classes.get(finding.name, UNLABELLED) for finding in FINDINGS])
        yield DiscSample(np.asarray(image, np.float16), given, _allowed(allowed))


def _allowed(by_finding: Mapping[str, Sequence[int]]) -> npt.NDArray[np.bool_]:
    """(11, MOST_CLASSES): the classes that a grade leaves, of findings that it only narrows down."""
    allowed = np.zeros((len(FINDINGS), MOST_CLASSES), bool)
    for i, finding in enumerate(FINDINGS):
        allowed[i, list(by_finding.get(finding.name, ()))] = True
    return allowed


def _posed(
    one: LabelledSlice, counts: npt.NDArray[np.bool_], rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], Points, npt.NDArray[np.bool_]]:
    """A slice turned, scaled and at times cropped, with its quads and the pixels that count."""
    rows, columns = one.image.shape
    pose = sample_pose(rng, (rows, columns))
    image = cv2.warpAffine(one.image, pose, (columns, rows), flags=cv2.INTER_LINEAR)
    # beyond the picture there is nothing, which is known
    kept = cv2.warpAffine(
        counts.astype(np.uint8), pose, (columns, rows), flags=cv2.INTER_NEAREST, borderValue=1
    )
    quads = one.quads @ pose[:, :2].T + pose[:, 2]
    height = int(rows * (rng.uniform(0.55, 1) if rng.random() < 0.3 else 1))
    top = int(rng.integers(0, rows - height + 1))
    part = slice(top, top + height)
    return np.ascontiguousarray(image[part], np.float32), quads - [0, top], kept[part] > 0


def _varied_volume(
    scan: LabelledScan, rng: np.random.Generator, strengths: Augmentation
) -> npt.NDArray[np.float32]:
    """The scan's volume with slices beside a single one, and at times with another look."""
    volume = scan.volume
    if volume.shape[2] == 1 and strengths.pose:
        volume = _with_neighbours(volume[:, :, 0], rng)
    if rng.random() < strengths.contrast:
        volume = volume_looking(volume, sample_look(rng), rng)
    return volume


def _with_neighbours(image: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """A volume about a mid slice: the further away, the more blurred, shifted, darker and flat."""
    reach, slices = int(rng.integers(3, 8)), []
    for k in range(-reach, reach + 1):
        away = abs(k) / reach
        beside = image
        if away > 0.3:
            beside = cv2.GaussianBlur(image, (0, 0), 0.5 + 2 * away * rng.random()).astype(np.float32)
            beside = np.roll(beside, tuple(int(x) for x in rng.normal(0, 4 * away, 2)), axis=(0, 1))
            beside = beside * np.float32(1 + rng.normal(0, 0.3 * away))
            if rng.random() < 0.6 * away:
                beside = np.float32(np.median(beside) * rng.uniform(0.2, 1.2)) + np.float32(0.2) * beside
        slices.append(beside)
    return np.stack(slices, axis=2).astype(np.float32)


def _fewer_slices(image: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """A disc's volume with only some slices about the middle one; the others are zero, as beyond a scan."""
    reach = int(rng.integers(0, len(image) // 2 + 1))
    middle = len(image) // 2
    kept = np.zeros_like(image)
    kept[middle - reach : middle + reach + 1] = image[middle - reach : middle + reach + 1]
    return kept


def _inexact(quads: Points, rng: np.random.Generator) -> Points:
    """Quads (..., 4, 2) with the errors of a detector, the same in all slices."""
    mean = quads.reshape(-1, 4, 2).mean(axis=0)
    size = float(np.ptp(mean, axis=0).max())
    middle = mean.mean(axis=0)
    moved = middle + (quads - middle) * np.exp(rng.normal(0, _SIZE_SD))
    errors = rng.normal(0, _MIDDLE_SD * size, (1, 2)) + rng.normal(0, _CORNER_SD * size, (4, 2))
    inexact: Points = moved + errors
    return inexact
