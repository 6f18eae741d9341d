"""Volumes stay finite, zero beyond the scan, and follow the vertebrae through it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spinenet.errors import DiscError
from spinenet.stages.crops import disc_mid_slice, disc_pairs, disc_volume, vertebra_volume
from spinenet.types import Vertebra

FEW = settings(max_examples=25, deadline=None)
BODY = np.array([[36.0, 1.0], [34.0, 27.0], [1.0, 28.0], [0.0, 0.0]])


def scan(seed: int = 0, shape: tuple[int, int, int] = (160, 150, 9)) -> np.ndarray:
    """Positive noise."""
    return np.random.default_rng(seed).random(shape, dtype=np.float32) * 400 + 100


def vertebra(x: float, y: float, slices: tuple[int, ...] = tuple(range(1, 8)), level: str = "") -> Vertebra:
    """A body with its corner at (x, y) in each of the slices."""
    return Vertebra(slices, np.repeat((BODY + np.array((x, y)))[None], len(slices), axis=0), level)


def mirrored(v: Vertebra, slices: int) -> Vertebra:
    """The same vertebra in a scan whose slices run the other way."""
    return replace(v, slices=tuple(slices - 1 - s for s in reversed(v.slices)), quads=v.quads[::-1])


@FEW
@given(st.integers(-8, 8), st.integers(-8, 8), st.sampled_from([1, 5, 16, 23]))
def test_vertebra_volume_shifts_with_the_scan(dx: int, dy: int, slices: int) -> None:
    volume = np.zeros((200, 190, slices), np.float32)
    volume[30:170, 25:165] = scan(1, (140, 140, slices))
    quad = BODY + np.array((75, 85))
    moved = np.roll(volume, (dy, dx), axis=(0, 1))
    actual, again = vertebra_volume(volume, quad), vertebra_volume(moved, quad + np.array((dx, dy)))
    assert actual.shape == (224, 224, 16)
    assert actual.dtype == np.float32
    np.testing.assert_allclose(again, actual, atol=2e-4)


@FEW
@given(
    st.sampled_from([-400, -60, -20, 50, 120, 160, 400]), st.sampled_from([-400, -60, -20, 50, 120, 160, 400])
)
def test_vertebra_volume_over_any_edge_is_finite_and_zero_filled(x: int, y: int) -> None:
    volume = scan(2)
    level = np.array([[36.0, 0.0], [36.0, 28.0], [0.0, 28.0], [0.0, 0.0]]) + np.array((x, y))
    actual = vertebra_volume(volume, level)
    assert np.isfinite(actual).all()
    first = np.array((x, y)) - 36
    pixels = first + (np.arange(224)[:, None] + 0.5) * 108 / 224 - 0.5
    # Two pixels of the cubic kernel on either side of the scan's edge mix with what lies beyond.
    outside = (pixels < -3) | (pixels > np.array((150, 160)) + 2)
    beyond = actual[outside[:, 1][:, None] | outside[:, 0][None, :]]
    if beyond.size:
        # The smallest value of the volume is subtracted: zero is one constant, the same all over.
        assert np.ptp(beyond) < 1e-6
    inside = actual[~outside[:, 1]][:, ~outside[:, 0]]
    if min(inside.shape) > 20:
        assert inside.std() > 0.01
    if outside[:, 0].all() or outside[:, 1].all():
        assert not actual.any()


@pytest.mark.parametrize(
    "quad",
    [
        np.full((4, 2), 50.0),
        np.array([[50.0, 20], [50, 60], [50, 60], [50, 20]]),
        np.array([[50.0, 60], [70, 60], [70, 20], [50, 20]]),
    ],
)
def test_vertebra_volume_of_a_degenerate_quad_is_finite(quad: np.ndarray) -> None:
    assert np.isfinite(vertebra_volume(scan(), quad)).all()


@FEW
@given(st.integers(-8, 8), st.integers(-8, 8))
def test_disc_volume_shifts_with_the_scan(dx: int, dy: int) -> None:
    volume = np.zeros((260, 260, 9), np.float32)
    volume[20:240, 20:240] = scan(3, (220, 220, 9))
    above, below = vertebra(112, 80), vertebra(110, 120)
    expected = disc_volume(volume, below, above)
    moved = np.roll(volume, (dy, dx), axis=(0, 1))
    shift = [replace(v, quads=v.quads + np.array((dx, dy))) for v in (below, above)]
    actual = disc_volume(moved, *shift)
    assert actual.shape == (9, 112, 224)
    assert actual.dtype == np.float32
    # The crop's edges are whole pixels of the turned scan, so the image can move by half of one.
    assert abs(float(actual.mean() - expected.mean())) < 0.01


@given(st.integers(0, 2), st.integers(3, 5))
def test_disc_volume_of_reversed_slices_is_reversed(start: int, length: int) -> None:
    volume = scan(4)
    slices = tuple(range(start, start + 2 * (length // 2) + 1))
    above, below = vertebra(60, 40, slices), vertebra(58, 80, slices)
    actual = disc_volume(volume[:, :, ::-1], mirrored(below, 9), mirrored(above, 9))
    np.testing.assert_allclose(actual, disc_volume(volume, below, above)[::-1], atol=1e-6)


@FEW
@given(st.sampled_from([-10, 40, 125]), st.sampled_from([-20, 40, 110]), st.integers(0, 8))
def test_disc_volume_over_any_edge_is_finite_and_zero_filled(x: int, y: int, s: int) -> None:
    volume = scan(5)
    above, below = vertebra(x, y, (s,)), vertebra(x, y + 40, (s,))
    actual = disc_volume(volume, below, above)
    assert np.isfinite(actual).all()
    assert 0 <= actual.min() <= actual.max() <= 1
    for k in range(9):
        assert actual[k].any() == (0 <= s + k - 4 < 9)
    if x < 0:
        assert not actual[:, :, :10].any()
    if x > 100:
        assert not actual[:, :, -10:].any()


def test_bodies_without_a_positive_median_make_no_disc() -> None:
    above, below = vertebra(60, 40), vertebra(58, 80)
    for volume in (np.zeros((160, 150, 9), np.float32), -scan()):
        with pytest.raises(DiscError, match="not positive"):
            disc_volume(volume, below, above)
    with pytest.raises(DiscError):
        disc_volume(scan(), vertebra(900, 900), vertebra(900, 940))


def test_a_disc_of_no_width_is_refused() -> None:
    above, below = vertebra(60, 40), vertebra(60, 80)
    point = np.repeat(np.full((1, 4, 2), 90.0), 7, axis=0)
    with pytest.raises(DiscError):
        disc_volume(scan(), replace(below, quads=point), replace(above, quads=point))


def test_only_neighbours_in_the_spine_make_a_disc() -> None:
    names = ("T12", "L1", "L3", "L4", "L5", "S1", "S2")
    vertebrae = tuple(vertebra(60, 20 * i, level=name) for i, name in enumerate(names))
    assert [p.level for p in disc_pairs(vertebrae)] == ["T12-L1", "L3-L4", "L4-L5", "L5-S1", "S1-S2"]
    assert disc_pairs(vertebrae[:1]) == ()


def test_mid_slice_rounds_half_to_even() -> None:
    assert disc_mid_slice(vertebra(0, 0, (2,)), vertebra(0, 0, (3,))) == 2
    assert disc_mid_slice(vertebra(0, 0, (3,)), vertebra(0, 0, (4,))) == 4
    assert vertebra(0, 0, (1, 2, 2, 9)).mid_slice == 2
