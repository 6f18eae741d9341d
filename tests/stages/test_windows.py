"""Windows cover a slice; patches are normalised whatever the grey values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinenet.stages.windows import cut_patch, tile
from spinenet.types import Window


@given(st.integers(3, 1200), st.integers(3, 1200), st.floats(0.2, 20))
def test_windows_lie_inside_and_cover_all_but_the_last_row_and_column(h: int, w: int, p: float) -> None:
    windows, scale_edge = tile(h, w, p)
    assert scale_edge == windows[0].width
    covered = np.zeros((h, w), bool)
    for window in windows:
        assert 0 <= window.top < window.bottom <= h
        assert 0 <= window.left < window.right <= w
        assert abs(window.width - window.height) <= 1
        covered[window.top : window.bottom, window.left : window.right] = True
    assert covered[:-1, :-1].all()


@given(st.integers(30, 900), st.integers(30, 900), st.floats(0.3, 3))
def test_transposed_slice_has_transposed_windows(h: int, w: int, p: float) -> None:
    windows = {(x.top, x.bottom, x.left, x.right) for x in tile(h, w, p)[0]}
    turned = {(x.left, x.right, x.top, x.bottom) for x in tile(w, h, p)[0]}
    assert windows == turned


@pytest.mark.parametrize(("h", "w", "p"), [(2, 500, 1.0), (1, 1, 1.0), (100, 100, 500.0), (100, 100, 0.0)])
def test_a_slice_that_holds_no_window_is_refused(h: int, w: int, p: float) -> None:
    with pytest.raises(ValueError, match="cannot hold a window"):
        tile(h, w, p)


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 1000), st.floats(-1000, 1000))
def test_patch_does_not_depend_on_scale_and_offset_of_grey_values(
    seed: int, scale: float, offset: float
) -> None:
    image = np.random.default_rng(seed).random((60, 50), dtype=np.float32)
    window = Window(5, 45, 3, 43)
    patch = cut_patch(image, window)
    assert patch.dtype == np.float32
    assert patch.min() == 0
    again = cut_patch((image.astype(np.float64) * scale + offset).astype(np.float32), window)
    # float32 keeps about seven digits of grey values that lie far from zero.
    np.testing.assert_allclose(again, patch, atol=1e-4 * (1 + abs(offset) / scale))


def test_patch_of_nearly_constant_window_is_finite() -> None:
    image = np.full((400, 400), 7.0, np.float32)
    assert (cut_patch(image, Window(0, 399, 0, 399)) == 0).all()
    image[196:204, 196:204] = 9
    patch = cut_patch(image, Window(0, 399, 0, 399))
    assert np.isfinite(patch).all()
    assert patch.max() == pytest.approx(1)
