"""Tells a spine from other anatomy, phantoms and noise by how the outlined bodies stand to one another.

A detector that only ever saw spines outlines bodies in knees, hands and grids too, and the labelling networks
name them. Outlines alone give most of these away: bodies of a spine stand one below the other at steps of
little more than their height, are of like size, and are no broader from side to side than a body can be.
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
    "sideways": (0.0, 0.25),
    "turn": (0.0, 42.0),
    "depth_ratio": (0.0, 0.35),
    "height_ratio": (0.0, 0.30),
    "common": (0.5, 1.0),
}
"""Least and greatest value of each measure of :func:`links` for two neighbours that stand as vertebrae do."""

DEPTH_MM, HEIGHT_MM = (12.0, 60.0), (9.0, 48.0)
"""Least and greatest depth (front to back) and height of a vertebral body."""

BREADTH_LIMIT = 2.2
"""Greatest extent across slices of a column's bodies (median), in depths."""

SMALL_MM = 22.5
SMALL_BEND = 4.5
"""A column of bodies smaller than ``SMALL_MM`` (root of depth times height, median), such as those of a neck,
bends somewhere by at least so many degrees, and its bodies are deeper than high."""

PAIR_DEPTH_MM, PAIR_SHAPE, PAIR_GAP, PAIR_SHARE = 28.0, 1.12, (0.12, 0.40), 0.5
"""Two bodies alone are believed where they are as deep as lumbar ones, that much deeper than high, with a gap
within these shares of their height, and no fewer than this share of all outlines."""


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
    if found.length == 2:
        return (
            found.depth >= PAIR_DEPTH_MM
            and found.depth >= PAIR_SHAPE * found.height
            and PAIR_GAP[0] <= found.gap <= PAIR_GAP[1]
            and found.share >= PAIR_SHARE
        )
    return found.depth * found.height >= SMALL_MM**2 or (
        found.bend >= SMALL_BEND and found.depth > found.height
    )


def column(vertebrae: Sequence[Vertebra], spacing_mm: float, slice_mm: float) -> Column:
    """The longest row of vertebrae that stand one below the other; others may lie between them in order.

    Returns
    -------
    Column
        Of length 0 or 1, and all else 0, where no two stand so.
    """
    if not vertebrae:
        return Column(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
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
        return Column(1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    pairs = (row[:-1], row[1:])
    breadth = [np.ptp(vertebrae[k].slices) + 1 for k in row]
    return Column(
        length=len(row),
        share=len(row) / len(vertebrae),
        depth=float(np.median(depth[row])),
        height=float(np.median(height[row])),
        breadth=float(np.median(breadth)) * slice_mm,
        gap=float(np.median(measures["gap"][pairs])),
        bend=float(np.max(measures["turn"][pairs])),
    )


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
