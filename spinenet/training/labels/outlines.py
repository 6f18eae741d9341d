"""Turns outlines and masks of vertebral bodies, as people draw them, into quads."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import cv2
import numpy as np
import numpy.typing as npt

from spinenet.geometry import Points

_MOST_POINTS = 20
"""Points of a convex hull of which four are chosen; an outline of more is thinned first."""

_SPUR_SHARE = 0.12
"""Width, as a share of the root of a body's area, below which a part of an outline is a slip of the hand."""

_FINER = 4
"""Pixels of the opening for each of the image's, so that it rounds off no more than it must."""


def quad_of(outline: npt.ArrayLike, up: npt.ArrayLike = (0.0, -1.0)) -> Points:
    """The four corners of an outlined body: those four points of its hull that enclose most.

    Parameters
    ----------
    outline
        (n, 2) points (x, y) in pixels, n of at least 4.
    up
        Direction (x, y) from this body to the next cranial one.

    Returns
    -------
    ndarray
        (4, 2) corners in the order rt, rb, lb, lt, where r is to the right of ``up``.

    Raises
    ------
    ValueError
        The outline encloses nothing.
    """
    points = np.asarray(outline, dtype=np.float64)
    opened, width = _without_spurs(points)
    hull = _hull(opened)
    chosen = np.array(list(combinations(range(len(hull)), 4)))
    corners = hull[chosen[int(_areas(hull[chosen]).argmax())]]
    return in_order(_drawn_out(corners, points, width), up)


def in_order(corners: npt.ArrayLike, up: npt.ArrayLike = (0.0, -1.0)) -> Points:
    """Four corners in the order rt, rb, lb, lt, as seen where ``up`` points upwards."""
    points = np.asarray(corners, dtype=np.float64)
    x, y = np.asarray(up, dtype=np.float64) / np.linalg.norm(np.asarray(up, dtype=np.float64))
    seen = (points - points.mean(axis=0)) @ np.array([[-y, -x], [x, -y]])
    # clockwise on the screen, as y points down
    around = points[np.argsort(np.arctan2(seen[:, 1], seen[:, 0]))]
    seen = (around - points.mean(axis=0)) @ np.array([[-y, -x], [x, -y]])
    top_right = int((seen[:, 0] - seen[:, 1]).argmax())
    return np.roll(around, -top_right, axis=0)


def ups(centres: npt.ArrayLike) -> Points:
    """Direction (n, 2) from each of (n, 2) body centres, cranial to caudal, to the one above it.

    The first body's is that of the second; of a single body it points up the image.
    """
    points = np.asarray(centres, dtype=np.float64).reshape(-1, 2)
    if len(points) < 2:
        return np.tile([0.0, -1.0], (len(points), 1))
    steps = points[:-1] - points[1:]
    return np.vstack([steps[:1], steps])


def _without_spurs(outline: Points) -> tuple[Points, float]:
    """(the outline after a morphological opening, which takes off what is thinner, that width in pixels)."""
    if len(outline) < 4:
        raise ValueError("an outline needs four points")
    low = outline.min(axis=0) - 2
    size = np.ceil((outline.max(axis=0) - low + 3) * _FINER).astype(int)
    mask = np.zeros((size[1], size[0]), np.uint8)
    cv2.fillPoly(mask, [np.round((outline - low) * _FINER * 16).astype(np.int32)], 1, shift=4)
    width = max(1, round(_SPUR_SHARE * float(np.sqrt(mask.sum()))))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc).astype(np.uint8)
    return largest_outline(opened) / _FINER + low, width / _FINER


def _drawn_out(corners: Points, outline: Points, width: float) -> Points:
    """Corners that the opening rounded off, moved out to the outline's own points beside them."""
    centre = corners.mean(axis=0)
    moved = []
    for corner in corners:
        out = (corner - centre) / np.linalg.norm(corner - centre)
        beside = outline[np.linalg.norm(outline - corner, axis=1) <= width]
        further = max(beside, key=lambda point: float((point - corner) @ out), default=corner)
        moved.append(further if (further - corner) @ out > 0 else corner)
    return np.array(moved)


def largest_outline(mask: npt.NDArray[np.uint8]) -> Points:
    """Outline (n, 2) of the largest part of a mask.

    Raises
    ------
    ValueError
        The mask is empty.
    """
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        raise ValueError("an outline that encloses nothing")
    return np.asarray(max(outlines, key=cv2.contourArea)[:, 0], dtype=np.float64)


def outline_around(mask: npt.NDArray[np.bool_]) -> Points:
    """Outline (n, 2) of the largest part of a mask, along the edges of its pixels and not their centres.

    Raises
    ------
    ValueError
        The mask is empty.
    """
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        raise ValueError("an outline that encloses nothing")
    part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.uint8)
    fine = largest_outline(part.repeat(_FINER, axis=0).repeat(_FINER, axis=1))
    # the outer pixels' centres lie half of a fine pixel within the edge
    around: Points = (fine + 0.5) / _FINER - 0.5 + [columns[0], rows[0]]
    return around


def _hull(outline: Points) -> Points:
    hull = np.asarray(cv2.convexHull(outline.astype(np.float32))[:, 0], dtype=np.float64)
    tolerance = 0.2
    while len(hull) > _MOST_POINTS:
        hull = np.asarray(cv2.approxPolyDP(hull.astype(np.float32), tolerance, True)[:, 0], dtype=np.float64)
        tolerance *= 1.3
    if len(hull) < 4:
        raise ValueError("an outline that encloses nothing")
    return hull


def _areas(quads: Points) -> npt.NDArray[np.float64]:
    """Areas (n,) of (n, 4, 2) quads, by the shoelace formula."""
    x, y = quads[..., 0], quads[..., 1]
    areas: npt.NDArray[np.float64] = 0.5 * np.abs(
        (x * np.roll(y, -1, axis=-1) - y * np.roll(x, -1, axis=-1)).sum(axis=-1)
    )
    return areas


def bodies_in_front(
    vertebrae: npt.NDArray[np.bool_], canal: npt.NDArray[np.bool_], *, least_pixels: int
) -> Sequence[Points]:
    """Outlines of the vertebral bodies of one sagittal slice, cranial to caudal.

    Parameters
    ----------
    vertebrae
        (rows, columns): bodies and arches; the patient faces to the left.
    canal
        (rows, columns): the spinal canal, of this slice or of the next one that shows it.
    least_pixels
        Size of the smallest body.
    """
    if not canal.any():
        return []
    mask = vertebrae & front_of(canal)
    # bodies hang together by a few pixels where discs are thin
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, parts, stats, centres = cv2.connectedComponentsWithStats(opened, connectivity=4)
    kept = [k for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] >= least_pixels]
    return [outline_around(parts == k) for k in sorted(kept, key=lambda k: centres[k][1])]


def front_of(canal: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """(rows, columns): what lies in front of a slice's spinal canal, the patient facing to the left.

    Above and below the canal its first and last row's place counts.
    """
    rows = np.flatnonzero(canal.any(axis=1))
    edge = np.interp(np.arange(len(canal)), rows, canal[rows].argmax(axis=1))
    front: npt.NDArray[np.bool_] = np.arange(canal.shape[1])[None] < edge[:, None]
    return front
