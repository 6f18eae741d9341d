"""Peaks, corners and their rivals."""

from __future__ import annotations

import numpy as np
import scipy.ndimage
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spinenet.stages.landmarks import angle_spread, drop_twins, join_corners, peaks, slice_quads
from spinenet.stages.windows import tile

QUAD = np.array([[30.0, 0.0], [30.0, 20.0], [0.0, 20.0], [0.0, 0.0]])


def corners_of(quads: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """What a perfect detector finds of (n, 4, 2) quads."""
    centres = quads.mean(axis=1)
    return [(quads[:, k], centres - quads[:, k]) for k in range(4)]


def column(n: int) -> np.ndarray:
    """Quads below one another."""
    quads: np.ndarray = QUAD + np.array([[50 + 3 * i, 40 + 30 * i] for i in range(n)], dtype=float)[:, None]
    return quads


@given(arrays(np.float32, (3, 9, 8), elements=st.sampled_from([0.0, 0.5, 0.7, 0.8, 0.9])))
def test_peaks_equal_a_plain_search(maps: np.ndarray) -> None:
    for heat, found in zip(maps, peaks(maps), strict=True):
        labels, n = scipy.ndimage.label(heat > 0.6)
        regions = [np.argwhere(labels == k) for k in range(1, n + 1)]
        regions.sort(key=lambda points: tuple(points[0]))
        expected = [points[np.argmax(heat[tuple(points.T)])].tolist() for points in regions]
        assert found.tolist() == expected


@given(st.integers(1, 6), st.integers(-500, 500), st.integers(-500, 500))
def test_quads_shift_with_their_landmarks(n: int, dx: int, dy: int) -> None:
    quads = column(n)
    found = join_corners(quads.mean(axis=1), corners_of(quads))
    np.testing.assert_allclose(found, quads, atol=1e-9)
    moved = quads + np.array((dx, dy))
    np.testing.assert_allclose(
        join_corners(moved.mean(axis=1), corners_of(moved)), found + np.array((dx, dy)), atol=1e-9
    )


@given(st.integers(0, 3))
def test_one_lost_corner_is_mended_and_two_are_not(lost: int) -> None:
    quads = column(3)
    corners = corners_of(quads)
    places, centres = corners[lost]
    corners[lost] = places[[0, 2]], centres[[0, 2]]
    np.testing.assert_allclose(join_corners(quads.mean(axis=1), corners), quads, atol=1e-9)
    other = (lost + 1) % 4
    places, centres = corners[other]
    corners[other] = places[[0, 2]], centres[[0, 2]]
    np.testing.assert_allclose(join_corners(quads.mean(axis=1), corners), quads[[0, 2]], atol=1e-9)


def test_a_corner_type_that_is_nowhere_leaves_no_quads() -> None:
    quads = column(2)
    corners = corners_of(quads)
    corners[1] = (np.empty((0, 2)), np.empty((0, 2)))
    assert join_corners(quads.mean(axis=1), corners).shape == (0, 4, 2)


def test_the_more_skewed_of_two_rivals_goes_and_equals_both_go() -> None:
    skewed = QUAD.copy()
    skewed[2] += (-6, 3)
    far = QUAD + 100
    assert angle_spread(np.stack((QUAD, skewed)))[0] < 1e-9
    assert drop_twins(np.stack((skewed, QUAD, far))).tolist() == [QUAD.tolist(), far.tolist()]
    assert drop_twins(np.stack((QUAD, QUAD + 0.5, far))).tolist() == [far.tolist()]
    assert len(drop_twins(np.stack((QUAD, QUAD, far)))) == 3


def test_a_quad_of_no_size_has_finite_angles() -> None:
    assert np.isfinite(angle_spread(np.zeros((1, 4, 2)))).all()


@given(st.floats(-1, 0.59375, width=32))
def test_weak_responses_are_no_landmarks(level: float) -> None:
    windows, edge = tile(300, 280, 0.9)
    responses = np.full((len(windows), 13, 224, 224), level, np.float32)
    centroids, quads = slice_quads(responses, windows, edge, (300, 280))
    assert centroids.shape == (0, 2)
    assert quads.shape == (0, 4, 2)
