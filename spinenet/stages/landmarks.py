"""From the detector's maps of one slice to the quads of the vertebral bodies in it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
import shapely
import torch
from torch.nn import functional as F

from spinenet.geometry import Points, polygons
from spinenet.stages.windows import PATCH_SIZE
from spinenet.types import FloatArray, Window

PEAK_THRESHOLD = 0.6
"""A response must be larger than this to be a landmark."""

CENTROID_CHANNEL = 4
X_ARROWS, Y_ARROWS = 5, 9
"""First of the four channels with the x and the y component of the corners' arrows."""

MISSING_PX = 20.0
"""A corner farther than this from where its arrow should point is missing (image pixels)."""

MISSING_SHARE = 0.5
"""... and so is one that misses by more than this share of its arrow's length."""

TWIN_PX = 2.0
"""Two quads with a corner of the same kind closer than this are rivals (image pixels)."""


def peaks(maps: FloatArray, threshold: float = PEAK_THRESHOLD) -> list[npt.NDArray[np.intp]]:
    """Maximum of every 4-connected region above a threshold.

    Parameters
    ----------
    maps
        (n, h, w) response maps.
    threshold
        Responses must be larger.

    Returns
    -------
    list of ndarray
        For each map (m, 2) points (row, column), in row-major order of the regions' first pixels.
    """
    n, height, width = maps.shape
    # One tall image with an empty row after each map: one labelling call for all of them.
    mask = np.zeros((n, height + 1, width), np.uint8)
    np.greater(maps, threshold, out=mask[:, :-1], casting="unsafe")
    pixels = np.flatnonzero(mask)
    if not len(pixels):
        return [np.empty((0, 2), np.intp) for _ in range(n)]
    _, labels = cv2.connectedComponents(mask.reshape(-1, width), connectivity=4)
    region = labels.reshape(-1)[pixels]
    which, rows, columns = np.unravel_index(pixels, mask.shape)
    _, first, region = np.unique(region, return_index=True, return_inverse=True)
    order = np.lexsort((pixels, -maps[which, rows, columns], first[region]))
    best = order[np.r_[True, np.diff(first[region][order]) != 0]]
    points = np.stack((rows[best], columns[best]), axis=1)
    return [points[which[best] == k] for k in range(n)]


def centroid_map(
    responses: FloatArray, windows: Sequence[Window], shape: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """Mean over windows of the centroid response.

    Parameters
    ----------
    responses
        (n, 224, 224) centroid responses, one a window.
    windows
        Where they lie.
    shape
        (H, W) of the slice.
    """
    total = np.zeros(shape, np.float32)
    count = np.zeros(shape, np.float32)
    for response, window in zip(responses, windows, strict=True):
        tensor = torch.from_numpy(np.ascontiguousarray(response, dtype=np.float32))[None, None]
        size = (window.height, window.width)
        resized = F.interpolate(tensor, size=size, mode="bilinear", align_corners=False)
        place = (slice(window.top, window.bottom), slice(window.left, window.right))
        total[place] += resized[0, 0].numpy()
        count[place] += 1
    return np.asarray(total / np.maximum(count, 1), dtype=np.float32)


def corner_points(
    responses: FloatArray, windows: Sequence[Window], scale_edge: int
) -> list[tuple[Points, Points]]:
    """Corner landmarks of every window in pixels of the slice.

    Returns
    -------
    list of (points, arrows)
        For each corner type (rt, rb, lb, lt) two (m, 2) arrays (x, y), in window order, then peak order.
    """
    scale = scale_edge / PATCH_SIZE
    found = peaks(responses[:, :4].reshape(-1, *responses.shape[2:]))
    result = []
    for corner in range(4):
        points, arrows = [np.empty((0, 2))], [np.empty((0, 2))]
        for k, window in enumerate(windows):
            rows, columns = found[4 * k + corner].T
            points.append(np.stack((columns, rows), axis=1) * scale + (window.left, window.top))
            arrows.append(
                _whole_pixels(responses[k, [X_ARROWS + corner, Y_ARROWS + corner]][:, rows, columns].T)
                * scale
            )
        result.append((np.concatenate(points), np.concatenate(arrows)))
    return result


def _whole_pixels(arrows: FloatArray) -> Points:
    """Drop the fraction of arrow components, in patch pixels; kept as published, whose weights need it."""
    return np.trunc(arrows.astype(np.float64))


def slice_quads(
    responses: FloatArray, windows: Sequence[Window], scale_edge: int, shape: tuple[int, int]
) -> tuple[npt.NDArray[np.intp], Points]:
    """Find the vertebral bodies of one slice.

    Parameters
    ----------
    responses
        (n, 13, 224, 224) detector output, one for each window.
    windows, scale_edge
        From :func:`spinenet.stages.windows.tile`.
    shape
        (H, W) of the slice.

    Returns
    -------
    centroids
        (c, 2) integers (row, column), every centroid found.
    quads
        (q, 4, 2) corners (x, y) in pixels of the slice.
    """
    centroids = peaks(centroid_map(responses[:, CENTROID_CHANNEL], windows, shape)[None])[0]
    if not len(centroids):
        return centroids, np.empty((0, 4, 2))
    corners = corner_points(responses, windows, scale_edge)
    return centroids, drop_twins(join_corners(centroids[:, ::-1].astype(np.float64), corners))


def join_corners(centroids: Points, corners: Sequence[tuple[Points, Points]]) -> Points:
    """Give each centroid its four corners, mending one that is missing.

    Parameters
    ----------
    centroids
        (c, 2) points (x, y).
    corners
        For each corner type its (m, 2) points and (m, 2) arrows to the centroid.

    Returns
    -------
    ndarray
        (q, 4, 2): simple quads around their centroid, and those with one mended corner.
    """
    if any(not len(points) for points, _ in corners):
        return np.empty((0, 4, 2))
    n = len(centroids)
    quads, arrows, missing = np.empty((n, 4, 2)), np.empty((n, 4, 2)), np.empty((n, 4), bool)
    for corner, (points, vectors) in enumerate(corners):
        distance = np.linalg.norm((points + vectors)[None] - centroids[:, None], axis=2)
        nearest = distance.argmin(axis=1)
        quads[:, corner], arrows[:, corner] = points[nearest], vectors[nearest]
        reach = np.minimum(MISSING_SHARE * np.linalg.norm(vectors[nearest], axis=1), MISSING_PX)
        missing[:, corner] = distance[np.arange(n), nearest] > reach
    opposite = centroids[:, None] + np.roll(arrows, -2, axis=1)
    quads = np.where(missing[..., None], opposite, quads)
    shapes = polygons(quads)
    around = shapely.is_valid(shapes)
    around[around] = shapely.contains(shapes[around], shapely.points(centroids[around]))
    lost = missing.sum(axis=1)
    kept: Points = quads[((lost == 0) & around) | (lost == 1)]
    return kept


def drop_twins(quads: Points) -> Points:
    """Of every two quads that share a corner, drop the more skewed one (both, if equally skewed)."""
    if len(quads) < 2:
        return quads
    close = (np.linalg.norm(quads[:, None] - quads[None], axis=3) < TWIN_PX).any(axis=2)
    rivals = close & ~(quads[:, None] == quads[None]).all(axis=(2, 3))
    skew = angle_spread(quads)
    kept: Points = quads[~(rivals & (skew[:, None] >= skew[None])).any(axis=1)]
    return kept


def angle_spread(quads: Points) -> Points:
    """(n,) largest minus smallest angle of (n, 4, 2) quads, in degrees."""
    ahead = np.roll(quads, -1, axis=1) - quads
    behind = np.roll(quads, 1, axis=1) - quads
    length = np.linalg.norm(ahead, axis=2) * np.linalg.norm(behind, axis=2)
    cosine = (ahead * behind).sum(axis=2) / np.where(length > 0, length, 1.0)
    angles = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
    spread: Points = np.ptp(angles, axis=1)
    return spread
