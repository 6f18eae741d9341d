"""Scans and slices whose vertebral bodies somebody outlined, and the part that says what is no body."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from spinenet.anatomy import ENDS, LEVEL_INDEX, LEVELS
from spinenet.evaluation import FOUND_IOU
from spinenet.geometry import Points, iou
from spinenet.types import Vertebra

_MARGIN = 0.35
"""Share of the last labelled body's height that still counts beyond it: a disc, and not the next body."""

_AROUND_MM = 4.0
"""Distance from a doubtful body up to which nothing is known: that of the detector's response to a corner."""

_CLEAR_MM = 4.0
"""Least distance of a slice that shows no body from the last one that does: between them lie slices in which
the rim of a body is half seen."""


@dataclass(frozen=True, eq=False)
class LabelledSlice:
    """A sagittal slice with the quads of some or all of its vertebral bodies.

    Attributes
    ----------
    image
        (rows, columns) float32, the patient facing to the left.
    spacing_mm
        Edge of its square pixels in mm.
    quads
        (n, 4, 2) corners (x, y) in pixels, order rt, rb, lb, lt, cranial to caudal.
    levels
        Names of these bodies.
    open_above, open_below
        Whether there may be bodies above the first or below the last that nobody labelled.
    subject
        Whom it shows; slices of one subject are never on both sides of a split.
    source
        The collection that it comes from.
    limits
        (2, 4, 2) quads of the first and last body of the scan, which a slice beside the column has in place
        of its own: it shows no body, and what is beyond them is as unknown as in the others.
    doubtful
        Outlines (n, 2) of bodies that it shows in part, and that have no quad.
    """

    image: npt.NDArray[np.float32]
    spacing_mm: float
    quads: Points
    levels: tuple[str, ...]
    open_above: bool
    open_below: bool
    subject: str
    source: str
    limits: Points | None = None
    doubtful: tuple[Points, ...] = ()

    def __post_init__(self) -> None:
        if len(self.quads) != len(self.levels) or (not self.levels and self.limits is None):
            raise ValueError("a labelled slice needs at least one body or limits, and a level for each body")
        _check_order(self.levels)

    def counts(self) -> npt.NDArray[np.bool_]:
        """(rows, columns): pixels of which is known whether they belong to a body.

        Beyond the first or last body of an open side nothing is known, whatever the column's tilt: the limit
        is a line along the body's endplate. Nor is anything known in and around doubtful bodies.
        """
        known = np.ones(self.image.shape, bool)
        y, x = np.indices(self.image.shape)
        pixels = np.stack([x, y], axis=-1).astype(np.float64)
        rt, rb, lb, lt = range(4)
        ends = self.quads if self.limits is None else self.limits
        if self.open_above:
            known &= ~_beyond(pixels, ends[0], (lt, rt), (lb, rb))
        if self.open_below:
            known &= ~_beyond(pixels, ends[-1], (lb, rb), (lt, rt))
        if self.doubtful:
            covered = np.zeros(self.image.shape, np.uint8)
            cv2.fillPoly(covered, [np.round(outline).astype(np.int32) for outline in self.doubtful], 1)
            reach = 2 * round(_AROUND_MM / self.spacing_mm) + 1
            disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
            known &= cv2.dilate(covered, disc) == 0
        return known


@dataclass(frozen=True, eq=False)
class LabelledScan:
    """A sagittal scan, or a single slice of one, with its labelled vertebral bodies and graded discs.

    Attributes
    ----------
    volume
        (rows, columns, slices) float32, rows cranial to caudal, the patient facing to the left, slices right
        to left.
    spacing_mm
        Edge of its square pixels in mm.
    slice_spacing
        Distance between slices in mm; of a single slice its thickness, or 0 if that is not known.
    vertebrae
        Cranial to caudal, each with its level and a quad for each slice that shows its body.
    open_above, open_below
        Whether there may be bodies above the first or below the last that nobody labelled.
    subject
        Whom it shows; scans of one subject are never on both sides of a split.
    source
        The collection that it comes from.
    name
        Its file, for messages.
    sequence
        "T1", "T2", "STIR" or "other".
    discs
        Class index of each graded finding, by disc level such as "L4-L5"; findings that were not graded are
        absent.
    allowed
        As ``discs``, for findings of which a grade only says that they are one of several classes, as one of
        present or absent does of a scale of four.
    doubtful
        Outlines (n, 2) of bodies that have no quad, by slice.
    whole
        Whether every slice was looked at, so that one without bodies shows that there are none.
    """

    volume: npt.NDArray[np.float32]
    spacing_mm: float
    slice_spacing: float
    vertebrae: tuple[Vertebra, ...]
    open_above: bool
    open_below: bool
    subject: str
    source: str
    name: str = ""
    sequence: str = "other"
    discs: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    allowed: Mapping[str, Mapping[str, tuple[int, ...]]] = field(default_factory=dict)
    doubtful: Mapping[int, tuple[Points, ...]] = field(default_factory=dict)
    whole: bool = False

    def __post_init__(self) -> None:
        _check_order([vertebra.level for vertebra in self.vertebrae])
        if any(not 0 <= k < self.volume.shape[2] for vertebra in self.vertebrae for k in vertebra.slices):
            raise ValueError("a vertebra lies in a slice that there is not")

    def slices(self) -> Iterator[LabelledSlice]:
        """Each slice that shows bodies and, of a whole scan, those clear of the column, which show none."""
        bodies = [self._bodies(k) for k in range(self.volume.shape[2])]
        if not any(bodies):
            return
        shown = np.array([k for k, found in enumerate(bodies) if found or self.doubtful.get(k)])
        limits = np.stack([self.vertebrae[0].mean_quad, self.vertebrae[-1].mean_quad])
        for k, found in enumerate(bodies):
            clear = np.abs(shown - k).min() * self.slice_spacing >= _CLEAR_MM
            if found or (self.whole and clear):
                yield LabelledSlice(
                    image=self.volume[:, :, k],
                    spacing_mm=self.spacing_mm,
                    quads=np.array(list(found.values()), np.float64).reshape(-1, 4, 2),
                    levels=tuple(found),
                    open_above=self.open_above,
                    open_below=self.open_below,
                    subject=self.subject,
                    source=self.source,
                    limits=None if found else limits,
                    doubtful=self.doubtful.get(k, ()),
                )

    def counts_at(self, point: Points) -> bool:
        """Whether it is known if a vertebra about a point (2,) of the mean slice is a body.

        It is not beyond the first or last body of an open side, nor on a body that is shown in part.
        """
        rt, rb, lb, lt = range(4)
        ends = self.vertebrae[0].mean_quad, self.vertebrae[-1].mean_quad
        if self.open_above and _beyond(point[None], ends[0], (lt, rt), (lb, rb))[0]:
            return False
        if self.open_below and _beyond(point[None], ends[1], (lb, rb), (lt, rt))[0]:
            return False
        at = (float(point[0]), float(point[1]))
        outlines = [outline for of in self.doubtful.values() for outline in of]
        return all(
            cv2.pointPolygonTest(outline.astype(np.float32)[:, None], at, False) < 0 for outline in outlines
        )

    def _bodies(self, index: int) -> dict[str, Points]:
        """Quads of one slice by level, cranial to caudal."""
        return {v.level: v.quads[v.slices.index(index)] for v in self.vertebrae if index in v.slices}


def open_sides(levels: Sequence[str]) -> tuple[bool, bool]:
    """Whether there may be bodies above the first and below the last of these levels, cranial to caudal.

    A spine ends with S1, as nothing below it is looked for, and with C2.
    """
    return bool(levels) and levels[0] != ENDS[1], bool(levels) and levels[-1] != ENDS[0]


def _check_order(levels: Sequence[str]) -> None:
    unknown = [level for level in levels if level not in LEVEL_INDEX]
    if unknown:
        raise ValueError(f"there is no level {unknown[0]!r}")
    order = [LEVEL_INDEX[level] for level in levels]
    if order != sorted(set(order), reverse=True):
        raise ValueError(f"levels are not from cranial to caudal: {', '.join(levels)}")


def levels_up_from(lowest: str, count: int) -> tuple[str, ...]:
    """Names of ``count`` neighbouring levels, cranial to caudal, the last of which is ``lowest``."""
    start = LEVEL_INDEX[lowest]
    if start + count > len(LEVELS):
        raise ValueError(f"there are no {count} levels from {lowest} up")
    return tuple(reversed(LEVELS[start : start + count]))


def _beyond(
    pixels: Points, quad: Points, edge: tuple[int, int], opposite: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """Whether pixels lie beyond an endplate by more than the margin, on the side away from the body."""
    middle, inner = quad[list(edge)].mean(axis=0), quad[list(opposite)].mean(axis=0)
    outwards = middle - inner
    height = float(np.linalg.norm(outwards))
    along = quad[edge[1]] - quad[edge[0]]
    normal = np.array([along[1], -along[0]]) / max(float(np.linalg.norm(along)), 1e-9)
    normal *= 1.0 if normal @ outwards > 0 else -1.0
    beyond: npt.NDArray[np.bool_] = (pixels - middle) @ normal > _MARGIN * height
    return beyond


def covered_by(body: Vertebra, vertebrae: Sequence[Vertebra]) -> int | None:
    """The place of the vertebra that covers a body best; None where none does by more than half (IoU)."""
    overlaps = iou(body.mean_quad, [vertebra.mean_quad for vertebra in vertebrae])
    return int(overlaps.argmax()) if (overlaps > FOUND_IOU).any() else None
