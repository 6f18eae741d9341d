"""Polygons, cubic warps of a crop, square pixels, and patient coordinates."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import shapely

from spinenet.errors import ScanError
from spinenet.types import MAX_VOXELS, FloatArray, ImageArray, Scan, SpineReading, Vertebra, square_voxels

Points = npt.NDArray[np.float64]

SQUARE_TOLERANCE = 1e-6
"""Largest relative difference of row and column spacing that still counts as square pixels."""

STORED_TYPES: tuple[np.dtype[Any], ...] = tuple(map(np.dtype, (np.uint8, np.uint16, np.int16)))
"""Integers that OpenCV resizes and warps as they are: it rounds, and cuts at the type's limits."""

_CUBIC_REACH = 3
"""Pixels around a crop's source that a cubic kernel can touch, one for rounding included."""


def polygons(quads: npt.ArrayLike) -> npt.NDArray[np.object_]:
    """Polygons of (n, 4, 2) quads as an (n,) array of shapely geometries."""
    array = np.asarray(quads, dtype=np.float64).reshape(-1, 4, 2)
    made: npt.NDArray[np.object_] = shapely.polygons(array) if len(array) else np.empty(0, dtype=object)
    return made


def iou(quad: npt.ArrayLike, others: npt.ArrayLike) -> Points:
    """Intersection over union of one quad with several.

    Parameters
    ----------
    quad
        (4, 2) corners.
    others
        (n, 4, 2) corners.

    Returns
    -------
    ndarray
        (n,) float64; 0 where either polygon is invalid (its edges cross).
    """
    one = np.asarray(quad, dtype=np.float64).reshape(4, 2)
    many = np.asarray(others, dtype=np.float64).reshape(-1, 4, 2)
    result = np.zeros(len(many))
    # Most quads of a spine do not touch: their boxes say so at a fraction of the cost.
    near = np.all((many.max(axis=1) > one.min(axis=0)) & (many.min(axis=1) < one.max(axis=0)), axis=1)
    if not near.any():
        return result
    polygon = polygons(one)[0]
    if not polygon.is_valid:
        return result
    candidates = polygons(many[near])
    valid = shapely.is_valid(candidates)
    overlap = shapely.area(shapely.intersection(polygon, candidates[valid]))
    union = polygon.area + shapely.area(candidates[valid]) - overlap
    values = np.zeros(len(candidates))
    values[valid] = np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
    result[near] = values
    return result


def rotation(centre: tuple[float, float], degrees: float) -> Points:
    """(2, 3) matrix that turns points (x, y) about a centre, right side up for positive angles."""
    return np.asarray(cv2.getRotationMatrix2D(centre, degrees, 1.0), dtype=np.float64)


def transform(matrix: npt.ArrayLike, points: npt.ArrayLike) -> Points:
    """Apply a (2, 3) matrix to (..., 2) points (x, y)."""
    m = np.asarray(matrix, dtype=np.float64)
    moved: Points = np.asarray(points, dtype=np.float64) @ m[:, :2].T + m[:, 2]
    return moved


def warpable(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The contiguous image in the type that OpenCV works in: one of :data:`STORED_TYPES`, else float32.

    The published package warps integers as they are stored, and its weights have been used so.
    """
    kind = image.dtype.newbyteorder("=")
    return np.ascontiguousarray(image, dtype=kind if kind in STORED_TYPES else np.float32)


def warp_crop(
    volume: ImageArray,
    matrix: npt.ArrayLike,
    canvas: tuple[int, int],
    rows: tuple[int, int],
    columns: tuple[int, int],
) -> npt.NDArray[Any]:
    """Crop of a warped scan, without warping the rest of it.

    Parameters
    ----------
    volume
        (H, W, S).
    matrix
        (2, 3) from points (x, y) of a slice to points of the canvas.
    canvas
        (rows, columns) of the warped slice; everything outside it is zero.
    rows, columns
        Half-open range of the crop on the canvas; it may leave the canvas on any side.

    Returns
    -------
    ndarray
        (S, rows, columns) of the type of :func:`warpable`, cubic, zero outside the slice and the canvas.
    """
    (top, bottom), (left, right) = rows, columns
    kind = warpable(volume[:0, :0, :0]).dtype
    out = np.zeros((volume.shape[2], max(0, bottom - top), max(0, right - left)), kind)
    r0, r1 = max(top, 0), min(bottom, canvas[0])
    c0, c1 = max(left, 0), min(right, canvas[1])
    if r0 >= r1 or c0 >= c1:
        return out
    forward = np.asarray(matrix, dtype=np.float64)
    backward = np.linalg.inv(np.vstack((forward, (0.0, 0.0, 1.0))))[:2]
    ends = np.array([(x, y) for x in (c0, c1 - 1) for y in (r0, r1 - 1)], dtype=np.float64)
    source = transform(backward, ends)
    size = np.array(volume.shape[1::-1])
    start = np.clip(np.floor(source.min(axis=0)).astype(int) - _CUBIC_REACH, 0, size)
    stop = np.clip(np.ceil(source.max(axis=0)).astype(int) + _CUBIC_REACH + 1, 0, size)
    if np.any(start >= stop):
        return out
    shifted = forward.copy()
    shifted[:, 2] += forward[:, :2] @ start - (c0, r0)
    part = warpable(np.moveaxis(volume[start[1] : stop[1], start[0] : stop[0]], 2, 0))
    for target, image in zip(out, part, strict=True):
        target[r0 - top : r1 - top, c0 - left : c1 - left] = cv2.warpAffine(
            image, shifted, (c1 - c0, r1 - r0), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT
        )
    return out


def to_square_pixels(scan: Scan) -> Scan:
    """The scan with square pixels, at the smaller of its two spacings.

    Parameters
    ----------
    scan
        Any scan; DICOM PixelSpacing (0028,0030) may differ between rows and columns.

    Returns
    -------
    Scan
        The same object where its pixels are square already; else a scan of the same field of view,
        cubic along the coarser axis, with spacing and affine to match.

    Raises
    ------
    ScanError
        too_large.
    """
    if is_square(scan.pixel_spacing):
        return scan
    # what the readers refuse with a reason; here so that no other caller asks for all memory there is
    if not square_voxels(scan.shape, scan.pixel_spacing) <= MAX_VOXELS:
        raise ScanError("too_large", f"square pixels would make it more than {MAX_VOXELS >> 20} Mi voxels")
    volume, target = scan.volume, min(scan.pixel_spacing)
    sides = square_shape(scan.shape[:2], scan.pixel_spacing)
    mapping = np.eye(4)
    for axis, spacing in enumerate(scan.pixel_spacing):
        step = target / spacing
        if step != 1.0:
            volume = _resample(volume, axis, step, sides[axis])
        mapping[axis, axis], mapping[axis, 3] = step, 0.5 * step - 0.5
    return replace(scan, volume=volume, pixel_spacing=(target, target), affine=scan.affine @ mapping)


def is_square(pixel_spacing: tuple[float, float]) -> bool:
    """Whether pixels of a (row, column) spacing are square."""
    row, column = pixel_spacing
    return abs(row - column) <= SQUARE_TOLERANCE * min(row, column)


def square_shape(shape: tuple[int, int], pixel_spacing: tuple[float, float]) -> tuple[int, int]:
    """(rows, columns) of a slice once :func:`to_square_pixels` has made its pixels square."""
    if is_square(pixel_spacing):
        return shape
    steps = [min(pixel_spacing) / spacing for spacing in pixel_spacing]
    rows, columns = (max(1, round(length / step)) for length, step in zip(shape, steps, strict=True))
    return rows, columns


def _resample(volume: FloatArray, axis: int, step: float, count: int) -> npt.NDArray[np.float32]:
    """``count`` samples of one axis, ``step`` pixels apart (Keys' cubic, edge repeated), first edge kept."""
    length = volume.shape[axis]
    position = (np.arange(count) + 0.5) * step - 0.5
    base = np.floor(position).astype(int)
    t = position - base
    taps = (
        ((-0.5 * t + 1.0) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1.0,
        ((-1.5 * t + 2.0) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    )
    weights = [weight.astype(np.float32).reshape((-1, 1) if axis == 0 else (1, -1)) for weight in taps]
    indices = [np.clip(base + offset, 0, length - 1) for offset in range(-1, 3)]
    sides = list(volume.shape)
    sides[axis] = len(position)
    resampled = np.empty(sides, dtype=np.float32)
    # slice by slice: of a large volume, four whole terms would be a gigabyte
    for place in range(volume.shape[2]):
        image = volume[:, :, place]
        total = np.take(image, indices[0], axis=axis) * weights[0]
        for index, weight in zip(indices[1:], weights[1:], strict=True):
            total = total + np.take(image, index, axis=axis) * weight
        resampled[:, :, place] = total
    # The kernel overshoots at sharp edges; no pixel may leave the range of the scan.
    return np.clip(resampled, volume.min(), volume.max(), out=resampled)


def rescale_quads(
    quads: npt.ArrayLike, from_spacing: tuple[float, float], to_spacing: tuple[float, float]
) -> Points:
    """Move points from one pixel grid to another over the same field of view.

    Parameters
    ----------
    quads
        (..., 2) points (x, y), pixel centres at integers.
    from_spacing, to_spacing
        (row, column) spacing in mm of the two grids.
    """
    scale = np.array([from_spacing[1] / to_spacing[1], from_spacing[0] / to_spacing[0]])
    moved: Points = (np.asarray(quads, dtype=np.float64) + 0.5) * scale - 0.5
    return moved


def on_grid(vertebra: Vertebra, source: tuple[float, float], target: tuple[float, float]) -> Vertebra:
    """The vertebra in pixels of another grid over the same field of view; spacings as (row, column) in mm."""
    if source == target:
        return vertebra
    return replace(vertebra, quads=rescale_quads(vertebra.quads, source, target))


def reading_on_grid(
    reading: SpineReading, source: tuple[float, float], target: tuple[float, float]
) -> SpineReading:
    """The reading in pixels of another grid over the same field of view; spacings as (row, column) in mm."""
    if source == target:
        return reading
    return replace(
        reading,
        vertebrae=tuple(on_grid(vertebra, source, target) for vertebra in reading.vertebrae),
        detections=tuple(on_grid(vertebra, source, target) for vertebra in reading.detections),
    )


def to_patient(affine: npt.ArrayLike, xy: npt.ArrayLike, slice_index: float) -> Points:
    """Patient position (3,) in mm (LPS) of a point (x, y) of a slice; DICOM PS3.3 C.7.6.2.1.1."""
    x, y = np.asarray(xy, dtype=np.float64)
    moved: Points = (np.asarray(affine, dtype=np.float64) @ (y, x, slice_index, 1.0))[:3]
    return moved
