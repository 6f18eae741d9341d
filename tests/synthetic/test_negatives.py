"""Drawn things that are no spine: the same for the same seed, and scans as any other."""

from __future__ import annotations

import numpy as np
import pytest

from spinenet.synthetic.negatives.scans import NEGATIVES, render_negative


@pytest.mark.parametrize("kind", NEGATIVES)
def test_a_scan_of_each_kind(kind: str) -> None:
    one, same = render_negative(5, kind=kind), render_negative(5, kind=kind)
    np.testing.assert_array_equal(one.volume, same.volume)
    assert one.volume.dtype == np.float32
    assert one.volume.min() >= 0
    assert one.volume.max() <= 4095
    assert (one.volume == np.round(one.volume)).all()
    assert min(one.shape) >= 3
    assert one.pixel_spacing == same.pixel_spacing
    assert np.linalg.norm(one.affine[:3, 1]) == pytest.approx(one.pixel_spacing[1])
    if kind != "air":
        assert one.volume.std() > 1


def test_seeds_differ() -> None:
    shapes = {render_negative(seed, kind="bottles").volume.tobytes()[:100_000] for seed in range(4)}
    assert len(shapes) == 4


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(KeyError):
        render_negative(1, kind="teapot")
