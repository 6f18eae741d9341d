"""Decoding is exact; the context image keeps to its rows."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from spinenet.anatomy import LEVELS
from spinenet.stages.levels import (
    UNCERTAIN_BELOW,
    appearance_probabilities,
    centroid_rows,
    context_image,
    decode,
    level_names,
    levels_uncertain,
    transition_costs,
)
from spinenet.types import Vertebra


def cost_of(levels: tuple[int, ...], probabilities: np.ndarray, skip_penalty: bool) -> float:
    """Cost of a sequence by the rules as they are told."""
    cost = -sum(np.log(p[k]) for p, k in zip(probabilities, levels, strict=True))
    for a, b in itertools.pairwise(levels):
        if b >= a:
            cost += 100 if b == 0 else 1000
        if skip_penalty and abs(b - a) > 1:
            cost += 100
    return float(cost)


@given(st.integers(1, 3), st.booleans(), st.integers(0, 2**32 - 1), st.sampled_from([0.1, 1.0, 30.0, 300.0]))
def test_decoding_equals_brute_force(n: int, skip_penalty: bool, seed: int, sharpness: float) -> None:
    p = softmax(np.random.default_rng(seed).normal(size=(n, 24)) * sharpness, axis=-1)
    p = np.maximum(p, 1e-200)
    levels, cost = decode(p, skip_penalty=skip_penalty)
    assert cost == pytest.approx(cost_of(levels, p, skip_penalty))
    steps = transition_costs(skip_penalty)
    total = -np.log(p[0])
    for row in p[1:]:
        # Every sequence at once: one axis more for each vertebra.
        total = total[..., :, None] + steps - np.log(row)
    assert cost == pytest.approx(float(total.min()))


@given(st.integers(2, 4), st.booleans())
def test_step_costs_are_the_rules(n: int, skip_penalty: bool) -> None:
    flat = np.full((n, 24), 1 / 24)
    for levels in itertools.product((0, 1, 2, 5, 23), repeat=n):
        steps = transition_costs(skip_penalty)
        cost = -n * np.log(1 / 24) + sum(steps[a, b] for a, b in itertools.pairwise(levels))
        assert cost == pytest.approx(cost_of(levels, flat, skip_penalty))


def test_a_clear_spine_is_read_as_it_is_and_zeros_do_no_harm() -> None:
    order = list(range(23, -1, -1))
    levels, cost = decode(np.eye(24)[order])
    assert list(levels) == order
    assert cost == 0
    levels, cost = decode(np.zeros((30, 24)))
    assert len(levels) == 30
    assert np.isfinite(cost)
    assert decode(np.empty((0, 24))) == ((), 0.0)


def test_second_sacral_vertebra() -> None:
    assert level_names([1, 0, 0]) == ("L5", "S1", "S2")
    assert level_names([0, 0]) == ("S1", "S2")
    assert level_names([0, 0, 5]) == ("S2", "S1", "L1")
    assert level_names([]) == ()
    assert level_names([2]) == ("L4",)


def test_empty_volumes_have_no_opinion() -> None:
    p = appearance_probabilities(np.zeros((2, 24)), [True, False])
    assert (p[0] == 0).all()
    np.testing.assert_allclose(p[1], 1 / 24)


@given(st.integers(1, 900), st.floats(0.2, 2), st.floats(-100, 1000), st.floats(0, 80))
def test_context_image_holds_a_vertebra_anywhere(h: int, spacing: float, y: float, size: float) -> None:
    quad = np.array([[30, y], [30, y + size], [0, y + size], [0, y]])
    image = context_image(h, spacing, [quad], np.full((1, 24), 0.5))
    assert image.shape[1] == len(LEVELS)
    assert image.shape[0] % 256 == 0
    assert image.shape[0] >= max(1, int(h * spacing))
    assert not image[int(h * spacing) :].any()
    (row,) = centroid_rows(h, spacing, [quad])
    assert 0 <= row < len(image)


def test_later_vertebrae_overwrite() -> None:
    quad = np.array([[30.0, 100.0], [30, 140], [0, 140], [0, 100]])
    image = context_image(
        300, 1.0, [quad, quad + np.array((0, 10))], np.stack((np.full(24, 0.25), np.full(24, 0.75)))
    )
    assert image[:, 0].tolist() == [
        0.25 if 110 <= r < 120 else 0.75 if 120 <= r < 140 else 0 for r in range(512)
    ]


def vertebra(probability: float) -> Vertebra:
    probabilities = np.zeros(len(LEVELS))
    probabilities[LEVELS.index("L4")] = probability
    return Vertebra((1,), np.zeros((1, 4, 2)), "L4", probabilities)


@pytest.mark.parametrize(
    ("probabilities", "uncertain"),
    [([], False), ([0.9, 0.0, 0.8], False), ([0.02, 0.9, 0.1], True), ([UNCERTAIN_BELOW], False)],
)
def test_levels_are_uncertain_where_half_of_them_are_improbable(
    probabilities: list[float], uncertain: bool
) -> None:
    assert levels_uncertain(vertebra(probability) for probability in probabilities) is uncertain
