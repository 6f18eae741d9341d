"""A slice whose vertebral bodies somebody outlined, and the part of it that says what is no body."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spinenet.anatomy import LEVEL_INDEX, LEVELS
from spinenet.geometry import Points

_MARGIN = 0.35
"""Share of the last labelled body's height that still counts beyond it: a disc, and not the next body."""


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
    """

    image: npt.NDArray[np.float32]
    spacing_mm: float
    quads: Points
    levels: tuple[str, ...]
    open_above: bool
    open_below: bool
    subject: str
    source: str

    def __post_init__(self) -> None:
        if not len(self.quads) == len(self.levels) > 0:
            raise ValueError("a labelled slice needs at least one body, and a level for each")
        order = [LEVEL_INDEX[level] for level in self.levels]
        if order != sorted(order, reverse=True):
            raise ValueError(f"levels are not from cranial to caudal: {', '.join(self.levels)}")

    def counts(self) -> npt.NDArray[np.bool_]:
        """(rows, columns): pixels of which is known whether they belong to a body.

        Beyond the first or last body of an open side nothing is known, whatever the column's tilt: the limit
        is a line along the body's endplate.
        """
        known = np.ones(self.image.shape, bool)
        y, x = np.indices(self.image.shape)
        pixels = np.stack([x, y], axis=-1).astype(np.float64)
        rt, rb, lb, lt = range(4)
        if self.open_above:
            known &= ~_beyond(pixels, self.quads[0], (lt, rt), (lb, rb))
        if self.open_below:
            known &= ~_beyond(pixels, self.quads[-1], (lb, rb), (lt, rt))
        return known


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
