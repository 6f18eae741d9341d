"""Micro-batches depend on the recipe alone: not on workers, ranks, or where a training begins."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from spinenet.errors import TrainingError
from spinenet.training import stream
from spinenet.training.recipe import Recipe
from spinenet.training.samples import Batch, ContextSample
from spinenet.training.stream import IN_VAIN, Lanes, check_ranks, micro_batches, workers_of
from support.toy_training import ToySource, toy_recipe


class Barren(ToySource):
    """Gives nothing."""

    def draw(self, number: int) -> Iterator[ContextSample]:
        return iter(())


def equal(one: Batch, two: Batch) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def batches(recipe: Recipe, **given: int) -> list[Batch]:
    return list(Lanes(recipe, [ToySource(), ToySource()], **given))


@pytest.fixture
def recipe() -> Recipe:
    return toy_recipe(("steps = 40", "steps = 20"))


@pytest.fixture
def whole(recipe: Recipe) -> list[Batch]:
    return batches(recipe)


def test_batches_differ_and_are_of_the_right_size(whole: list[Batch]) -> None:
    assert len(whole) == 40
    assert all(images.shape == (2, 1, 16, 24) and levels.shape == (2, 16) for images, levels in whole)
    assert not any(equal(one, two) for one, two in pairwise(whole))
    other = batches(toy_recipe(("steps = 40", "steps = 20\nseed = 1")))
    assert not equal(whole[0], other[0])


@pytest.mark.parametrize("workers", [2, 4])
@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("first", [0, 7])
def test_ranks_and_workers_share_out_the_same(
    recipe: Recipe,
    whole: list[Batch],
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
    ranks: int,
    first: int,
) -> None:
    workers = workers_of(recipe, ranks, workers)
    for rank in range(ranks):
        made = []
        for worker in range(workers):
            info = SimpleNamespace(id=worker, num_workers=workers)
            monkeypatch.setattr(stream, "get_worker_info", lambda info=info: info)
            made.append(batches(recipe, rank=rank, ranks=ranks, first_step=first))
        # a DataLoader takes one of each worker in turn
        taken = [made[k % workers][k // workers] for k in range(sum(map(len, made)))]
        wanted = whole[2 * first :][rank::ranks]
        assert len(taken) == len(wanted)
        assert all(equal(one, two) for one, two in zip(taken, wanted, strict=True))


def test_workers_of_real_processes(recipe: Recipe, whole: list[Batch]) -> None:
    made = micro_batches(recipe, [ToySource(), ToySource()], first_step=5, workers=3)
    assert all(equal(one, two) for one, two in zip(made, whole[10:], strict=True))


def test_a_start_makes_only_what_it_needs(recipe: Recipe) -> None:
    sources = [ToySource(), ToySource()]
    next(iter(Lanes(recipe, sources, first_step=19)))
    # four samples of two sources, three in most draws
    assert 2 <= sum(len(source.drawn) for source in sources) <= 8


def test_sources_have_their_shares() -> None:
    recipe = toy_recipe(("chunk = 4", "chunk = 1000"))
    lane = stream.Lane(recipe, [ToySource(), ToySource()], 0)
    lane.batch(0)
    first = np.mean([source == 0 for source, _ in lane._shown])
    assert first == pytest.approx(0.75, abs=0.05)


def test_a_source_that_gives_nothing_ends_the_training(recipe: Recipe) -> None:
    with pytest.raises(TrainingError, match=f"The source 'toy' gave no sample in {IN_VAIN} draws"):
        next(micro_batches(recipe, [Barren(), Barren()]))


def test_what_cannot_be_shared_out(recipe: Recipe) -> None:
    assert [workers_of(recipe, 1, n) for n in (0, 1, 2, 3, 4, 9)] == [0, 1, 2, 2, 4, 4]
    assert workers_of(recipe, 2, 4) == 2
    check_ranks(recipe, 2)
    with pytest.raises(TrainingError, match="4 ranks cannot share 2 micro-batches"):
        check_ranks(recipe, 4)
