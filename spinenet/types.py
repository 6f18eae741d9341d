"""What flows through a scan's computation: frozen values, made once.

Axis order everywhere: rows (cranial to caudal), columns (anterior to posterior), slices
(patient right to left). Points are (x, y) = (column, row) in pixels, pixel centres at integers.
Quads are (4, 2) arrays of corners in the order rt, rb, lb, lt (r: larger x, t: smaller y).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from spinenet.anatomy import LEVEL_INDEX, SACRAL_RELABEL

FloatArray = npt.NDArray[np.floating]
ImageArray = npt.NDArray[np.floating] | npt.NDArray[np.integer]
"""Grey values; readers make float32, and only callers of the published class hand on integers."""

MAX_VOXELS = 1 << 26
"""Voxels of one scan, also once its pixels are square: 256 MiB as float32. Of 512 x 512 pixels that are 256
slices, more than any spine has."""

CORNERS: tuple[str, ...] = ("rt", "rb", "lb", "lt")


def square_voxels(shape: tuple[int, int, int], pixel_spacing: tuple[float, float]) -> float:
    """Voxels of a scan once its pixels are square, before they are rounded to whole ones."""
    (row, column), target = pixel_spacing, min(pixel_spacing)
    return math.prod(shape) * (row / target) * (column / target)


@dataclass(frozen=True, eq=False)
class Scan:
    """One sagittal series in memory.

    Attributes
    ----------
    volume
        (H, W, S) float32, rescale slope and intercept applied.
    pixel_spacing
        (row, column) distance between pixel centres in mm, DICOM PixelSpacing (0028,0030).
    slice_spacing
        Distance between slice centres in mm, from ImagePositionPatient (0020,0032).
    affine
        (4, 4) float64: (row, column, slice, 1) index to patient mm (x left, y posterior, z up: LPS).
    sequence
        "T1", "T2", "STIR" or "other".
    header
        Facts of the header that name no person (series_uid, manufacturer, field strength ...).
    flags
        Codes of what was noticed and mended on reading.
    fingerprint
        Digest of the bytes that were read, and of how they were resampled on reading.
    """

    volume: FloatArray
    pixel_spacing: tuple[float, float]
    slice_spacing: float
    affine: npt.NDArray[np.float64] = field(default_factory=lambda: np.eye(4))
    sequence: str = "other"
    header: Mapping[str, str | int | float] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    fingerprint: str = ""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(rows, columns, slices)."""
        rows, columns, slices = self.volume.shape
        return rows, columns, slices


@dataclass(frozen=True)
class Window:
    """A half-open rectangle of a slice: rows [top, bottom), columns [left, right), in pixels."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left


@dataclass(frozen=True, eq=False)
class Vertebra:
    """One vertebra of a scan.

    Attributes
    ----------
    slices
        Slice of each quad, in the order found; a slice can appear twice after a merge.
    quads
        (n, 4, 2) float64 corners in pixels, one quad for each entry of ``slices``.
    level
        Name such as "L4"; empty until labelled.
    level_probabilities
        (24,) in the order of :data:`spinenet.anatomy.LEVELS`; None until labelled.
    findings
        Class probabilities, each (n_classes,), of the findings of a vertebra that a bundle adds, by name.
    """

    slices: tuple[int, ...]
    quads: npt.NDArray[np.float64]
    level: str = ""
    level_probabilities: npt.NDArray[np.float64] | None = None
    findings: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)

    @property
    def mean_quad(self) -> npt.NDArray[np.float64]:
        """(4, 2) mean of the quads."""
        mean: npt.NDArray[np.float64] = self.quads.mean(axis=0)
        return mean

    @property
    def level_probability(self) -> float | None:
        """Probability of the level that the vertebra was given; None until labelled."""
        if self.level_probabilities is None:
            return None
        level = "S1" if self.level == SACRAL_RELABEL else self.level
        return float(self.level_probabilities[LEVEL_INDEX[level]])

    @property
    def mid_slice(self) -> int:
        """Rounded median of ``slices`` (half to even)."""
        return int(np.round(np.median(self.slices)))


@dataclass(frozen=True, eq=False)
class Disc:
    """The image of one intervertebral disc as the grading network reads it.

    Attributes
    ----------
    level
        Name such as "L4-L5", the cranial vertebra first.
    volume
        (9, 112, 224) float32: slice, row, column.
    mid_slice
        Slice of the scan at the middle of the volume.
    """

    level: str
    volume: FloatArray
    mid_slice: int


@dataclass(frozen=True, eq=False)
class DiscGrade:
    """Class probabilities of the 11 findings of one disc and of added ones, by name, each (n_classes,)."""

    level: str
    mid_slice: int
    probabilities: Mapping[str, npt.NDArray[np.float64]]


@dataclass(frozen=True)
class DiscFailure:
    """A disc between two found neighbours that could not be graded, and one sentence why."""

    level: str
    detail: str


@dataclass(frozen=True, eq=False)
class SpineReading:
    """What one scan's computation found.

    Attributes
    ----------
    vertebrae
        Cranial to caudal, in pixels of the scan as stored in :class:`Scan`.
    grades
        Cranial to caudal.
    failures
        Discs that could not be graded.
    seconds
        Wall time by stage: detect, label, grade.
    detections
        The vertebrae as they were detected, without levels; from them a scan is graded again without
        detecting again.
    not_a_spine
        Whether what was found stands in no column as vertebrae do; there are then no grades.
    """

    vertebrae: tuple[Vertebra, ...]
    grades: tuple[DiscGrade, ...] = ()
    failures: tuple[DiscFailure, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    detections: tuple[Vertebra, ...] = ()
    not_a_spine: bool = False
