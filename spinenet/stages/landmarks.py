"""Finds the quads of the vertebral bodies of one slice in the detector's response maps.

Source of the method and of its constants: arXiv:2007.02606, detection of vertebrae.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
import shapely
import torch
from torch.nn import functional as F

from spinenet.geometry import Points, polygons
from spinenet.networks.shapes import CENTROID_CHANNEL, PATCH_SIZE, X_ARROWS, Y_ARROWS
from spinenet.types import CORNERS, FloatArray, Window

PEAK_THRESHOLD = 0.6
"""Response that a landmark must exceed (arXiv:2007.02606, detection)."""

MISSING_PX = 20.0
"""Distance in image pixels between the end of a corner's arrow and the centroid above which the corner counts
as missing (arXiv:2007.02606, detection)."""

MISSING_SHARE = 0.5
"""The same limit as a share of the arrow's length; the smaller one applies (arXiv:2007.02606, detection)."""

TWIN_PX = 2.0
"""Distance in image pixels between corners of one type below which two quads are rivals, of which one is
dropped (arXiv:2007.02606, detection)."""


def peaks(maps: FloatArray, threshold: float = PEAK_THRESHOLD) -> list[npt.NDArray[np.intp]]:
    """Find the maximum of every 4-connected region above a threshold.

    Parameters
    ----------
    maps
        (n, h, w) response maps.
    threshold
        Response that a region's pixels exceed.

    Returns
    -------
    list of ndarray
        One array (m, 2) for each map: points (row, column), in row-major order of the regions' first pixels.
    """
    n, height, width = maps.shape
    # all maps in one tall image, with an empty row after each, need a single call to label their regions
    mask = np.zeros((n, height + 1, width), np.uint8)
    np.greater(maps, threshold, out=mask[:, :-1], casting="unsafe")
    pixels = np.flatnonzero(mask)
    if not len(pixels):
        return [np.empty((0, 2), np.intp) for _ in range(n)]
    _, labels = cv2.connectedComponents(mask.reshape(-1, width), connectivity=4)
    region = labels.reshape(-1)[pixels]
    map_index, rows, columns = np.unravel_index(pixels, mask.shape)
    _, first, region = np.unique(region, return_index=True, return_inverse=True)
    order = np.lexsort((pixels, -maps[map_index, rows, columns], first[region]))
    best = order[np.r_[True, np.diff(first[region][order]) != 0]]
    points = np.stack((rows[best], columns[best]), axis=1)
    return [points[map_index[best] == k] for k in range(n)]


def centroid_map(
    responses: FloatArray, windows: Sequence[Window], shape: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """Average the centroid responses of overlapping windows.

    Parameters
    ----------
    responses
        (n, 224, 224) centroid responses, one for each window.
    windows
        Windows of the slice.
    shape
        (H, W) of the slice.

    Returns
    -------
    ndarray
        (H, W) float32; 0 where no window lies.
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
    """Find the corner landmarks of every window, in pixels of the slice.

    Parameters
    ----------
    responses
        (n, 13, 224, 224) detector output, one for each window.
    windows, scale_edge
        Result of :func:`spinenet.stages.windows.tile`.

    Returns
    -------
    list of (points, arrows)
        Two arrays (m, 2) (x, y) for each corner type (rt, rb, lb, lt), by window, then by peak.
    """
    scale = scale_edge / PATCH_SIZE
    corner_peaks = peaks(responses[:, :CENTROID_CHANNEL].reshape(-1, *responses.shape[2:]))
    result = []
    for corner in range(len(CORNERS)):
        points, arrows = [np.empty((0, 2))], [np.empty((0, 2))]
        for k, window in enumerate(windows):
            rows, columns = corner_peaks[len(CORNERS) * k + corner].T
            points.append(np.stack((columns, rows), axis=1) * scale + (window.left, window.top))
            arrows.append(
                _whole_pixels(responses[k, [X_ARROWS + corner, Y_ARROWS + corner]][:, rows, columns].T)
                * scale
            )
        result.append((np.concatenate(points), np.concatenate(arrows)))
    return result


def _whole_pixels(arrows: FloatArray) -> Points:
    """Truncate arrow components to whole patch pixels, as published: the weights were validated with it."""
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
        Result of :func:`spinenet.stages.windows.tile`.
    shape
        (H, W) of the slice.

    Returns
    -------
    centroids
        (c, 2) integers (row, column): every centroid, with or without a quad.
    quads
        (q, 4, 2) corners (x, y) in pixels of the slice.
    """
    centroids = peaks(centroid_map(responses[:, CENTROID_CHANNEL], windows, shape)[None])[0]
    if not len(centroids):
        return centroids, np.empty((0, 4, 2))
    corners = corner_points(responses, windows, scale_edge)
    return centroids, drop_twins(join_corners(centroids[:, ::-1].astype(np.float64), corners))


def join_corners(centroids: Points, corners: Sequence[tuple[Points, Points]]) -> Points:
    """Join each centroid to its four corners; a single missing corner is reconstructed.

    Parameters
    ----------
    centroids
        (c, 2) points (x, y).
    corners
        (m, 2) points and (m, 2) arrows to the centroid, for each corner type.

    Returns
    -------
    ndarray
        (q, 4, 2) corners: simple quads that contain their centroid, and quads with one reconstructed corner.
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
    inside = shapely.is_valid(shapes)
    inside[inside] = shapely.contains(shapes[inside], shapely.points(centroids[inside]))
    n_missing = missing.sum(axis=1)
    kept: Points = quads[((n_missing == 0) & inside) | (n_missing == 1)]
    return kept


def drop_twins(quads: Points) -> Points:
    """Drop the more skewed of every two quads that share a corner; both, if equally skewed."""
    if len(quads) < 2:
        return quads
    close = (np.linalg.norm(quads[:, None] - quads[None], axis=3) < TWIN_PX).any(axis=2)
    rivals = close & ~(quads[:, None] == quads[None]).all(axis=(2, 3))
    skew = angle_spread(quads)
    kept: Points = quads[~(rivals & (skew[:, None] >= skew[None])).any(axis=1)]
    return kept


def angle_spread(quads: Points) -> Points:
    """Largest minus smallest internal angle, (n,) in degrees, of (n, 4, 2) quads."""
    ahead = np.roll(quads, -1, axis=1) - quads
    behind = np.roll(quads, 1, axis=1) - quads
    length = np.linalg.norm(ahead, axis=2) * np.linalg.norm(behind, axis=2)
    cosine = (ahead * behind).sum(axis=2) / np.where(length > 0, length, 1.0)
    angles = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
    spread: Points = np.ptp(angles, axis=1)
    return spread
