"""Quads of one vertebra come together, in whatever order slices are read."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spinenet.stages.grouping import group

QUAD = np.array([[30.0, 0.0], [30.0, 20.0], [0.0, 20.0], [0.0, 0.0]])


@st.composite
def spines(draw: st.DrawFn) -> list[np.ndarray]:
    """Quads per slice of a spine that leans a little from slice to slice; any may be missing."""
    slices, n = draw(st.integers(1, 7)), draw(st.integers(0, 6))
    lean = draw(st.floats(-1.5, 1.5))
    seen = draw(st.lists(st.booleans(), min_size=slices * n, max_size=slices * n))
    return [
        np.array([QUAD + np.array((100 + lean * s, 30 * v)) for v in range(n) if seen[s * n + v]]).reshape(
            -1, 4, 2
        )
        for s in range(slices)
    ]


@given(spines(), st.integers(-300, 300), st.integers(-300, 300))
def test_vertebrae_shift_with_their_quads(quads: list[np.ndarray], dx: int, dy: int) -> None:
    before, after = group(quads), group([q + np.array((dx, dy)) for q in quads])
    assert [v.slices for v in before] == [v.slices for v in after]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_allclose(a.quads + np.array((dx, dy)), b.quads, atol=1e-9)


@given(spines())
def test_reversed_slices_give_the_same_vertebrae(quads: list[np.ndarray]) -> None:
    before, after = group(quads), group(quads[::-1])
    assert len(before) == len(after)
    for a, b in zip(before, after, strict=True):
        assert list(a.slices) == [len(quads) - 1 - s for s in reversed(b.slices)]
        np.testing.assert_allclose(a.quads, b.quads[::-1])


@given(spines())
def test_sorted_and_complete(quads: list[np.ndarray]) -> None:
    found = group(quads, remove_single_slice=False)
    assert sum(len(v.slices) for v in found) == sum(len(q) for q in quads)
    heights = [v.mean_quad[:, 1].mean() for v in found]
    assert heights == sorted(heights)
    assert len(group(quads)) == sum(len(v.slices) > 1 for v in found)


def test_nothing_found_is_no_vertebra() -> None:
    assert group([]) == ()
    assert group([np.empty((0, 4, 2))] * 3) == ()
