"""Polygons, pixel grids and patient coordinates."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinenet.geometry import iou, rescale_quads, rotation, to_patient, to_square_pixels, warp_crop
from spinenet.types import Scan

QUAD = np.array([[30.0, 0.0], [30.0, 20.0], [0.0, 20.0], [0.0, 0.0]])
CROSSED = QUAD[[0, 2, 1, 3]]
spacings = st.floats(0.3, 2.0)


@given(st.floats(-40, 40), st.floats(-30, 30))
def test_iou_of_shifted_boxes(dx: float, dy: float) -> None:
    overlap = max(0, 30 - abs(dx)) * max(0, 20 - abs(dy))
    expected = overlap / (1200 - overlap)
    assert iou(QUAD, [QUAD + np.array((dx, dy))])[0] == pytest.approx(expected, abs=1e-9)


def test_iou_of_invalid_and_missing_polygons_is_zero() -> None:
    assert iou(QUAD, [CROSSED, QUAD]).tolist() == [0, 1]
    assert iou(CROSSED, [QUAD]).tolist() == [0]
    assert iou(QUAD, np.empty((0, 4, 2))).shape == (0,)
    assert iou(np.zeros((4, 2)), np.zeros((2, 4, 2))).tolist() == [0, 0]


@given(st.floats(-60, 60), st.integers(-40, 60), st.integers(-40, 60))
def test_crop_equals_the_warped_slice(degrees: float, top: int, left: int) -> None:
    volume = np.random.default_rng(0).random((50, 60, 3), dtype=np.float32)
    matrix = rotation((25.5, 20.25), degrees)
    crop = warp_crop(volume, matrix, (50, 60), (top, top + 30), (left, left + 25))
    whole = np.stack(
        [cv2.warpAffine(volume[:, :, k].copy(), matrix, (60, 50), flags=cv2.INTER_CUBIC) for k in range(3)]
    )
    padded = np.pad(whole, ((0, 0), (100, 100), (100, 100)))
    expected = padded[:, top + 100 : top + 130, left + 100 : left + 125]
    # Where OpenCV rounds positions to a 32nd of a pixel, a shifted matrix can round the other way.
    np.testing.assert_allclose(crop, expected, atol=0.1)
    assert np.abs(crop - expected).mean() < 2e-3
    assert (crop[expected == 0] == 0).mean() > 0.99 if (expected == 0).any() else True


@given(spacings, spacings)
def test_square_pixels_keep_the_patient_where_it_is(row: float, column: float) -> None:
    y, x = np.mgrid[:40, :30]
    volume = np.repeat((3.0 * y * row + 2.0 * x * column)[..., None], 2, axis=2).astype(np.float32)
    affine = np.array([[0, 0, 4.0, -10], [0, column, 0, 5], [-row, 0, 0, 7], [0, 0, 0, 1]])
    scan = Scan(volume, (row, column), 4.0, affine)
    square = to_square_pixels(scan)
    target = min(row, column)
    assert square.pixel_spacing == pytest.approx((target, target))
    assert abs(square.shape[0] * target - 40 * row) <= target
    # One point of the patient through both grids; and the grey value there, a plane, is the same.
    point = np.array([14.0, 21.0])
    moved = rescale_quads(point, scan.pixel_spacing, square.pixel_spacing)
    np.testing.assert_allclose(
        to_patient(square.affine, moved, 1), to_patient(affine, point, 1), atol=1e-6 * 40
    )
    np.testing.assert_allclose(
        rescale_quads(moved, square.pixel_spacing, scan.pixel_spacing), point, atol=1e-9
    )
    ix, iy = (int(v) for v in np.round(moved))
    back = rescale_quads((ix, iy), square.pixel_spacing, scan.pixel_spacing)
    expected = 3 * back[1] * row + 2 * back[0] * column
    assert float(square.volume[iy, ix, 0]) == pytest.approx(expected, rel=1e-3)


def test_square_scan_is_left_alone() -> None:
    scan = Scan(np.zeros((4, 4, 2), np.float32), (0.5, 0.5 + 1e-8), 4.0)
    assert to_square_pixels(scan) is scan


def test_patient_position_of_a_pixel() -> None:
    affine = np.array([[0, 0, 4.0, -10], [0, 0.5, 0, 5], [-0.7, 0, 0, 7], [0, 0, 0, 1]])
    np.testing.assert_allclose(to_patient(affine, (10, 20), 3), [2, 10, -7])
