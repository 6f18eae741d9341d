"""Crops the two kinds of volume from a scan: one for each vertebra, one for each disc."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from skimage.draw import polygon
from torch.nn import functional as F

from spinenet.anatomy import disc_level
from spinenet.errors import DiscError
from spinenet.geometry import Points, rotation, transform, warp_crop
from spinenet.networks.shapes import DISC_SHAPE, VERTEBRA_SHAPE
from spinenet.types import ImageArray, Vertebra

DISC_SIZE = (192, 320)
"""(rows, columns) of a resized disc crop, before its border is cut off (arXiv:2205.01683, grading)."""

DISC_BODY = (113.5, 227.0)
"""(rows, columns) of the disc itself within ``DISC_SIZE`` (arXiv:2205.01683, grading)."""

DISC_REACH = DISC_SHAPE[0] // 2
"""Slices of a disc volume on either side of the disc's middle slice (arXiv:2205.01683, grading)."""

DISC_ROWS, DISC_COLUMNS = (
    slice((size - read) // 2, (size + read) // 2)
    for size, read in zip(DISC_SIZE, DISC_SHAPE[1:], strict=True)
)
"""Rows and columns in the middle of the resized crop that the grading network reads (arXiv:2205.01683,
grading)."""


def vertebra_volume(volume: ImageArray, mean_quad: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Crop the surroundings of one vertebra, turned upright, from all slices.

    Parameters
    ----------
    volume
        (H, W, S) scan with square pixels.
    mean_quad
        (4, 2) mean corners (x, y) of the vertebra, in pixels.

    Returns
    -------
    ndarray
        (224, 224, 16) float32 (row, column, slice): zero outside the rotated scan, so all zero where the
        quad lies outside.
    """
    quad = np.asarray(mean_quad, dtype=np.float64)
    (right_top, left_top), shape = (quad[0], quad[3]), (volume.shape[0], volume.shape[1])
    x, y = (left_top + right_top) / 2
    matrix = rotation((float(x), float(y)), np.degrees(_tilt(*(right_top - left_top))))
    turned = transform(matrix, quad)
    edge = float(np.ptp(turned, axis=0).max())
    left, top = (int(start) for start in turned[3] - edge)
    # a quad without extent still needs one pixel, as an empty image cannot be resized
    right, bottom = max(int(left + 3 * edge), left + 1), max(int(top + 3 * edge), top + 1)
    crop = warp_crop(volume, matrix, shape, (top, bottom), (left, right))
    return _normalise(_across_slices(torch.from_numpy(crop.astype(np.float64))))


def _tilt(dx: float, dy: float) -> float:
    """Angle of the upper endplate in radians; tanh instead of arctan, as published (arXiv:2205.01683)."""
    if dx == 0:
        return float(np.sign(dy))
    return float(np.tanh(dy / dx))


def _across_slices(crop: torch.Tensor) -> npt.NDArray[np.float64]:
    """Resample (S, h, w) to (16, 224, 224): cubic in plane, linear between slices, the last one repeated."""
    slices, wanted = crop.shape[0], VERTEBRA_SHAPE[2]
    position = np.arange(wanted) * slices / wanted
    below = np.floor(position).astype(int)
    above = np.minimum(below + 1, slices - 1)
    share = torch.from_numpy(position - below)[:, None, None]
    images = crop
    if slices > wanted:
        # both steps are linear, so their order does not matter: the one that leaves fewer pixels comes first
        images = images[below] * (1 - share) + images[above] * share
    images = F.interpolate(images[None], size=VERTEBRA_SHAPE[:2], mode="bicubic", align_corners=False)[0]
    if slices <= wanted:
        images = images[below] * (1 - share) + images[above] * share
    out: npt.NDArray[np.float64] = images.numpy()
    return out


def _normalise(images: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Scale (slice, row, column) by minimum and 95th percentile, as (row, column, slice)."""
    scaled = (images - images.min()) / (np.percentile(images, 95) + 1e-6)
    return np.ascontiguousarray(np.moveaxis(scaled, 0, 2), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class DiscPair:
    """A disc's level and the vertebrae below and above it."""

    level: str
    below: Vertebra
    above: Vertebra


def disc_pairs(vertebrae: tuple[Vertebra, ...]) -> tuple[DiscPair, ...]:
    """Pairs of labelled vertebrae with a disc between them, in the given order (cranial first)."""
    pairs = []
    for above, below in itertools.pairwise(vertebrae):
        # neighbours in the list with a missed vertebra between them have no disc in common
        level = disc_level(below.level, above.level)
        if level is not None:
            pairs.append(DiscPair(level, below, above))
    return tuple(pairs)


def disc_mid_slice(below: Vertebra, above: Vertebra) -> int:
    """Index of a disc's middle slice: the rounded mean of its vertebrae's middle slices."""
    return int(np.round((below.mid_slice + above.mid_slice) / 2))


def quad_at(vertebra: Vertebra, index: int) -> Points:
    """Quad (4, 2) of a vertebra in a slice: the last one detected there, or else the mean quad."""
    for position in range(len(vertebra.slices) - 1, -1, -1):
        if vertebra.slices[position] == index:
            quad: Points = vertebra.quads[position]
            return quad
    return vertebra.mean_quad


def disc_volume(volume: ImageArray, below: Vertebra, above: Vertebra) -> npt.NDArray[np.float32]:
    """Crop one disc from the nine slices around its middle.

    Parameters
    ----------
    volume
        (H, W, S) scan with square pixels.
    below, above
        The caudal and the cranial vertebra.

    Returns
    -------
    ndarray
        (9, 112, 224) float32 (slice, row, column) in [0, 1]; the median of the vertebral bodies is 0.25.

    Raises
    ------
    DiscError
        The bodies have no pixels or no positive median, or the disc has no extent.
    """
    median = _body_median(volume, below, above)
    if not median > 0:
        raise DiscError("the median intensity of the vertebral bodies is not positive")
    mid = disc_mid_slice(below, above)
    lower, upper = quad_at(below, mid), quad_at(above, mid)
    return _cut(volume, np.stack((upper[1], lower[0], lower[3], upper[2])), mid, median)


def body_volume(volume: ImageArray, vertebra: Vertebra) -> npt.NDArray[np.float32]:
    """Crop one vertebral body as :func:`disc_volume` crops a disc, for findings of a vertebra.

    The frame fits a body too: it is as deep as its discs, and less high than their crop.

    Raises
    ------
    DiscError
        The body has no pixels or no positive median, or no extent.
    """
    median = _body_median(volume, vertebra)
    if not median > 0:
        raise DiscError("the median intensity of the vertebral body is not positive")
    mid = vertebra.mid_slice
    return _cut(volume, quad_at(vertebra, mid), mid, median)


def _cut(volume: ImageArray, quad: Points, mid: int, median: float) -> npt.NDArray[np.float32]:
    """Nine slices around ``mid`` of what a quad outlines there, levelled and scaled."""
    height, width, slices = volume.shape
    matrix, canvas = _levelling(quad, height, width)
    rows, columns = _disc_range(transform(matrix, quad))
    used = range(max(mid - DISC_REACH, 0), min(mid + DISC_REACH + 1, slices))
    out = np.zeros(DISC_SHAPE, np.float32)
    if not len(used):
        return out
    crops = warp_crop(volume[:, :, used.start : used.stop], matrix, canvas, rows, columns)
    for index, crop in zip(used, crops, strict=True):
        image = cv2.resize(crop, DISC_SIZE[::-1], interpolation=cv2.INTER_CUBIC)[DISC_ROWS, DISC_COLUMNS]
        out[index - mid + DISC_REACH] = np.clip(image / median * 0.5, 0, 2) / 2
    return out


def _body_median(volume: ImageArray, *vertebrae: Vertebra) -> float:
    """Median intensity of the vertebral bodies over the slices where each was detected; 0 without pixels."""
    values = []
    for vertebra in vertebrae:
        quad = quad_at(vertebra, vertebra.mid_slice)
        rows, columns = polygon(quad[:, 1], quad[:, 0], volume.shape[:2])  # type: ignore[no-untyped-call]
        inside = [i for i in sorted(set(vertebra.slices)) if 0 <= i < volume.shape[2]]
        values.append(volume[rows, columns][:, inside].reshape(-1))
    pixels = np.concatenate(values)
    return float(np.median(pixels)) if len(pixels) else 0.0


def _levelling(quad: Points, height: int, width: int) -> tuple[Points, tuple[int, int]]:
    """Matrix (2, 3) that makes the disc's upper edge horizontal, and (rows, columns) of the turned slice."""
    x, y = quad[0] - quad[3]
    angle = float(np.arctan2(y, x))
    sine, cosine = abs(np.sin(angle)), abs(np.cos(angle))
    canvas = (int(height * cosine + width * sine), int(height * sine + width * cosine))
    # the published centre of rotation lies half a pixel off the middle of the pixel grid
    matrix = rotation((width / 2, height / 2), float(np.degrees(angle)))
    matrix[:, 2] += (canvas[1] - width) / 2, (canvas[0] - height) / 2
    return matrix, canvas


def _disc_range(turned: Points) -> tuple[tuple[int, int], tuple[int, int]]:
    """(first, end) rows and columns of the crop around the turned quad of a disc."""
    (left, top), (right, bottom) = turned.min(axis=0), turned.max(axis=0)
    width, height = right - left, bottom - top
    left, right, width = left - width / 2, right + width / 2, 2 * width
    grow = (width / 2 - height) / 2
    top, bottom, height = top - grow, bottom + grow, width / 2
    extra_x = (DISC_SIZE[1] - DISC_BODY[1]) / 2 * width / DISC_BODY[1]
    extra_y = (DISC_SIZE[0] - DISC_BODY[0]) / 2 * height / DISC_BODY[0]
    rows = int(np.round(top - extra_y)), int(np.round(bottom + extra_y))
    columns = int(np.round(left - extra_x)), int(np.round(right + extra_x))
    if rows[0] >= rows[1] or columns[0] >= columns[1]:
        raise DiscError("the disc has no extent in its middle slice")
    return rows, columns
