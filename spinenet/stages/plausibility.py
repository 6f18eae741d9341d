"""Tells a spine from other anatomy, phantoms and noise by how the outlined bodies stand to one another.

A detector that only ever saw spines outlines bodies in knees, hands and grids too, and the labelling networks
name them. Outlines alone give most of these away: bodies of a spine stand one below the other at steps of
little more than their height, are of like size, and are no broader from side to side than a body can be.

The limits were chosen with the bundled weights ``synthetic`` on 200 drawn things of 16 kinds that are no
spine (``spinenet.synthetic.negatives``), on 515 real lumbar scans (SPIDER: 308 middle slices, 30 volumes and
the middle slices of these; 147 middle slices of T1; a single slice was read as three) and on 80 drawn ones.

Of the 200 things 133 had no outline, 64 are flagged and 3 are graded; of 55 others, 25 of which were seen
before the last change of a limit, 36, 18 and 1. Of the 515 real spines 2 had no outline and 4 are flagged,
with one to three bodies outlined. Of 54 drawn ones, whole, in three slices or faint, none is flagged. Of 26
drawn views cut to three to five bodies 8 are flagged, 7 of them low strips that were misread. Of the true
outlines of 150 drawn spines with corners 0.6 mm off none is flagged, and of pieces of them 1.4 % with three
bodies, 0.5 % with four and 0.1 % with five. ``tests/benchmarks/negatives.py`` measures again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spinenet.geometry import Points
from spinenet.types import Vertebra

LINK_LIMITS = {
    "step": (0.9, 1.6),
    "gap": (-0.02, 0.52),
    "sideways": (0.0, 0.5),
    "turn": (0.0, 42.0),
    "depth_ratio": (0.0, 0.42),
    "height_ratio": (0.0, 0.36),
    "common": (0.5, 1.0),
}
"""Least and greatest value of each measure of :func:`links` for two neighbours that stand as vertebrae do.

Between neighbours of the 515 real scans, 1st to 99th percentile: step 1.00 to 2.20 (a body was missed in the
largest), gap 0.01 to 1.23 (so too), sideways to 0.56, turn to 41, depth ratio to 0.46, height ratio to 0.31.
"""

DEPTH_MM, HEIGHT_MM = (11.0, 60.0), (9.0, 48.0)
"""Least and greatest depth (front to back) and height of a vertebral body; columns have medians of 13.4 to 53
and of 11.8 to 39 mm."""

BREADTH_LIMIT = 2.0
"""Greatest extent across slices of a column's bodies (median), in depths: spines to 1.74, grids to 4.6."""

FILLED_LIMIT = 0.65
"""Least share of the slices from a body's first to its last in which it was found, as a column's median:
spines from 0.72 on, bowel and tiles 0.53 to 0.62."""

GAP_LIMIT = 0.48
"""Greatest gap between neighbours in heights, as a column's median: spines to 0.45, spheres 0.40 to 0.66."""

SMALL_MM = 22.5
SMALL_BEND, SMALL_GAP, SMALL_SHAPE = 4.0, 0.17, 0.9
"""A column of bodies smaller than ``SMALL_MM`` (root of depth times height, median), such as those of a neck,
bends somewhere by so many degrees or has gaps of this share of the height; three alone are so deep, in
heights. Most cells of grids neither bend (2.0 to 3.8) nor have gaps (0.08 to 0.16), and ribs cut across are
too high (0.89); of small pieces of true outlines 2 % have gaps below 0.17, and most of these bend."""

PAIR_DEPTH_MM, PAIR_SHAPE, PAIR_GAP, PAIR_SHARE = 28.0, 1.12, (0.12, 0.40), 0.5
"""Two bodies alone are believed where they are as deep as lumbar ones, that much deeper than high, with a gap
within these shares of their height, and no fewer than this share of all outlines; so are the pairs
in real scans, and none in things that are no spine."""


@dataclass(frozen=True)
class Column:
    """The longest row of bodies that stand one below the other; medians over its bodies or its links.

    Attributes
    ----------
    length
        Bodies.
    share
        Bodies of all outlined ones.
    depth, height, breadth
        Front to back, top to bottom, and across slices, in mm.
    filled
        Slices in which a body was found, of those from its first to its last.
    gap
        Between neighbours, in heights.
    bend
        Largest turn from one body to the next, in degrees.
    """

    length: int
    share: float
    depth: float
    height: float
    breadth: float
    filled: float
    gap: float
    bend: float


def is_spine(vertebrae: Sequence[Vertebra], spacing_mm: float, slice_mm: float) -> bool:
    """Whether the vertebrae of a scan stand as those of a spine do.

    Parameters
    ----------
    vertebrae
        As detected, cranial to caudal, quads in square pixels.
    spacing_mm, slice_mm
        Between pixels and between slices.
    """
    found = column(vertebrae, spacing_mm, slice_mm)
    if found.length < 2 or found.breadth > BREADTH_LIMIT * found.depth:
        return False
    if found.filled < FILLED_LIMIT or found.gap > GAP_LIMIT:
        return False
    if found.length == 2:
        return (
            found.depth >= PAIR_DEPTH_MM
            and found.depth >= PAIR_SHAPE * found.height
            and PAIR_GAP[0] <= found.gap <= PAIR_GAP[1]
            and found.share >= PAIR_SHARE
        )
    if found.depth * found.height >= SMALL_MM**2:
        return True
    stands_free = found.bend >= SMALL_BEND or found.gap >= SMALL_GAP
    return stands_free and (found.length > 3 or found.depth >= SMALL_SHAPE * found.height)


def column(vertebrae: Sequence[Vertebra], spacing_mm: float, slice_mm: float) -> Column:
    """The longest row of vertebrae that stand one below the other; others may lie between them in order.

    Returns
    -------
    Column
        Of length 0 or 1, and all else 0, where no two stand so.
    """
    if not vertebrae:
        return _no_column(0)
    depth, height = sizes(vertebrae, spacing_mm)
    measures = links(vertebrae, spacing_mm)
    stands = np.all(
        [(low <= measures[k]) & (measures[k] <= high) for k, (low, high) in LINK_LIMITS.items()], 0
    )
    like_body = (
        (DEPTH_MM[0] < depth) & (depth < DEPTH_MM[1]) & (HEIGHT_MM[0] < height) & (height < HEIGHT_MM[1])
    )
    row = _longest(stands & like_body[:, None] & like_body[None])
    if len(row) < 2:
        return _no_column(1)
    pairs = (row[:-1], row[1:])
    spans = np.array([np.ptp(vertebrae[k].slices) + 1 for k in row])
    found = np.array([len(set(vertebrae[k].slices)) for k in row])
    return Column(
        length=len(row),
        share=len(row) / len(vertebrae),
        depth=float(np.median(depth[row])),
        height=float(np.median(height[row])),
        breadth=float(np.median(spans)) * slice_mm,
        filled=float(np.median(found / spans)),
        gap=float(np.median(measures["gap"][pairs])),
        bend=float(np.max(measures["turn"][pairs])),
    )


def _no_column(length: int) -> Column:
    return Column(length, share=0, depth=0, height=0, breadth=0, filled=0, gap=0, bend=0)


def sizes(vertebrae: Sequence[Vertebra], spacing_mm: float) -> tuple[Points, Points]:
    """Depth and height (n,) of the vertebrae's mean quads, in mm."""
    rt, rb, lb, lt = _corners(vertebrae, spacing_mm)
    depth = (np.linalg.norm(rt - lt, axis=1) + np.linalg.norm(rb - lb, axis=1)) / 2
    height = (np.linalg.norm(rt - rb, axis=1) + np.linalg.norm(lt - lb, axis=1)) / 2
    return depth, height


def links(vertebrae: Sequence[Vertebra], spacing_mm: float) -> dict[str, Points]:
    """How the j-th vertebra stands to the i-th one, above it in order; for j not below i nothing is meant.

    Returns
    -------
    dict
        (n, n) each: ``step`` between centres and ``gap`` between endplates along the bodies' axis, in mean
        heights; ``sideways`` shift of the centres, in mean depths; ``turn`` in degrees; ``depth_ratio`` and
        ``height_ratio`` as absolute logarithms; ``common`` slices as a share of the fewer.
    """
    rt, rb, lb, lt = _corners(vertebrae, spacing_mm)
    depth, height = sizes(vertebrae, spacing_mm)
    up = (rt + lt - rb - lb) / 2
    up = up / np.maximum(np.linalg.norm(up, axis=1, keepdims=True), 1e-9)
    lean = np.degrees(np.arctan2(up[:, 0], -up[:, 1]))
    axis = up[:, None] + up[None]
    axis = axis / np.maximum(np.linalg.norm(axis, axis=2, keepdims=True), 1e-9)
    centre = (rt + rb + lb + lt) / 4
    way = centre[:, None] - centre[None]
    between = ((rb + lb)[:, None] - (rt + lt)[None]) / 2
    mean_height, mean_depth = ((size[:, None] + size[None]) / 2 for size in (height, depth))
    turn = np.abs(lean[:, None] - lean[None])
    slices = [set(v.slices) for v in vertebrae]
    common = [[len(a & b) / min(len(a), len(b)) for b in slices] for a in slices]
    return {
        "step": (way * axis).sum(axis=2) / mean_height,
        "gap": (between * axis).sum(axis=2) / mean_height,
        "sideways": np.abs(way[..., 0] * axis[..., 1] - way[..., 1] * axis[..., 0]) / mean_depth,
        "turn": np.minimum(turn, 360 - turn),
        "depth_ratio": np.abs(np.log(depth[:, None] / depth[None])),
        "height_ratio": np.abs(np.log(height[:, None] / height[None])),
        "common": np.array(common),
    }


def _corners(vertebrae: Sequence[Vertebra], spacing_mm: float) -> Points:
    """(4, n, 2) corners (x, y) of the mean quads in mm, in the order rt, rb, lb, lt."""
    corners: Points = np.stack([v.mean_quad for v in vertebrae], axis=1) * spacing_mm
    return corners


def _longest(follows: Points) -> list[int]:
    """The longest chain of indices in order of which each two neighbours (i, j) have ``follows[i, j]``."""
    chains: list[list[int]] = []
    for j in range(len(follows)):
        before = [chains[i] for i in range(j) if follows[i, j]]
        chains.append([*max(before, key=len, default=[]), j])
    return max(chains, key=len)
