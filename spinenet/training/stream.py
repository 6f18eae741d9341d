"""Micro-batches that depend on the recipe alone: not on processes, on ranks, or on where a training began.

Micro-batches are numbered through: that of number ``g`` is part ``g % micro_batches`` of step
``g // micro_batches``, and comes from lane ``g % lanes``. A lane makes its micro-batches of chunks: it draws
samples by ``[seed, lane, chunk]``, and makes a fixed number of micro-batches of them in a random order.
Whoever makes a lane needs no other lane and no earlier chunk.

Ranks share out the micro-batches of each step, and the workers of a rank its lanes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from spinenet.errors import SpinenetError, TrainingError
from spinenet.training.recipe import Recipe
from spinenet.training.samples import Batch, Sample, batch_of
from spinenet.training.sources import NUMBERS, Source

AHEAD = 8
"""Micro-batches that each worker makes ahead, so that steps go on while a lane makes a chunk."""
IN_VAIN = 200
"""Draws of a source that may give no sample one after the other."""
_VARIED = 1
"""Second number of the seeds of variations, where those of chunks have 0."""


class Lane:
    """One sequence of micro-batches, which keeps the samples of the chunk that is in use.

    Parameters
    ----------
    recipe, sources
        What is trained, and where its samples come from.
    number
        Of the lane, from 0.
    """

    def __init__(self, recipe: Recipe, sources: Sequence[Source], number: int) -> None:
        self._recipe, self._sources, self._number = recipe, sources, number
        self._chunk, self._shown = -1, list[tuple[int, Sample]]()

    def batch(self, place: int) -> Batch:
        """Its micro-batch at a place, counted from 0."""
        options = self._recipe.stream
        # Lanes begin at different places of their first chunks: else all would make a new one at once.
        place += self._number * options.chunk // options.lanes
        chunk, part = divmod(place, options.chunk)
        if chunk != self._chunk:
            self._shown = []
            self._chunk, self._shown = chunk, self._made(chunk)
        size = micro_size(self._recipe)
        shown = self._shown[part * size : (part + 1) * size]
        rng = np.random.default_rng([self._recipe.seed, _VARIED, self._number, place])
        return batch_of(self._recipe.network, [self._sources[i].varied(one, rng) for i, one in shown])

    def _made(self, chunk: int) -> list[tuple[int, Sample]]:
        """(source, sample) for all micro-batches of a chunk, in the order in which they are shown."""
        wanted = micro_size(self._recipe) * self._recipe.stream.chunk
        rng = np.random.default_rng([self._recipe.seed, 0, self._number, chunk])
        shares = np.array([entry.share for entry in self._recipe.sources])
        different = int(np.ceil(wanted / self._recipe.stream.repeats))
        counts = rng.multinomial(different, shares / shares.sum())
        kept = [(i, sample) for i, n in enumerate(counts) for sample in self._drawn(i, int(n), rng)]
        # Each sample is shown once before any is shown again.
        rounds = [rng.permutation(len(kept)) for _ in range(-(-wanted // len(kept)))]
        return [kept[index] for index in np.concatenate(rounds)[:wanted]]

    def _drawn(self, source: int, count: int, rng: np.random.Generator) -> list[Sample]:
        """``count`` samples of a source; of the last draw some, chosen at random."""
        samples: list[Sample] = []
        in_vain = 0
        while len(samples) < count:
            drawn = list(self._sources[source].draw(int(rng.integers(NUMBERS))))
            in_vain = 0 if drawn else in_vain + 1
            if in_vain == IN_VAIN:
                kind = self._recipe.sources[source].kind
                raise TrainingError(f"The source {kind!r} gave no sample in {IN_VAIN} draws.")
            left = count - len(samples)
            if len(drawn) > left:
                drawn = [drawn[k] for k in np.sort(rng.choice(len(drawn), left, replace=False))]
            samples += drawn
        return samples


class Lanes(IterableDataset[Batch]):
    """The micro-batches of one rank from a step on, in each worker those of its own lanes.

    Parameters
    ----------
    recipe, sources
        What is trained, and where its samples come from.
    first_step
        Step whose micro-batches come first; the last are those of the recipe's last step.
    rank, ranks
        Which of the micro-batches are this rank's.
    """

    def __init__(
        self, recipe: Recipe, sources: Sequence[Source], *, first_step: int = 0, rank: int = 0, ranks: int = 1
    ) -> None:
        self._recipe, self._sources = recipe, tuple(sources)
        self._first, self._rank, self._ranks = first_step, rank, ranks

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        if worker:
            _end_with_training()
        mine, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        parts, lanes = self._recipe.micro_batches, self._recipe.stream.lanes
        kept: dict[int, Lane] = {}
        first = self._first * parts + self._rank + self._ranks * mine
        for g in range(first, self._recipe.steps * parts, self._ranks * workers):
            number = g % lanes
            lane = kept.setdefault(number, Lane(self._recipe, self._sources, number))
            yield lane.batch(g // lanes)


def _end_with_training() -> None:
    """End this process when the training's ends, which may be killed and then tells nobody.

    Its parent, of which it was forked, lives for as long as itself, so looking for that is not enough.
    """
    training = parent_process()
    if training is not None:
        threading.Thread(target=_end_after, args=(training.sentinel,), daemon=True).start()


def _end_after(sentinel: int) -> None:
    wait([sentinel])
    os._exit(0)


def micro_batches(
    recipe: Recipe,
    sources: Sequence[Source],
    *,
    first_step: int = 0,
    rank: int = 0,
    ranks: int = 1,
    workers: int = 0,
    pinned: bool = False,
) -> Iterator[Batch]:
    """The micro-batches of one rank, made by other processes.

    Parameters
    ----------
    workers
        Processes at the most; 0 makes them in this one. See :func:`workers_of`.
    pinned
        Whether they are put into memory that a GPU copies from without waiting.

    Raises
    ------
    RecipeError, TrainingError
        As :func:`check_ranks`; later, where a source gives no samples.
    """
    lanes = Lanes(recipe, sources, first_step=first_step, rank=rank, ranks=ranks)
    count = workers_of(recipe, ranks, workers)
    loader = DataLoader(
        lanes,
        batch_size=None,
        num_workers=count,
        pin_memory=pinned,
        prefetch_factor=AHEAD if count else None,
        multiprocessing_context=_clean_processes() if count else None,
    )
    # begun here and not with the first micro-batch: chunks are made while the network is
    made = iter(loader)
    return _in_one_sentence(made)


def _clean_processes() -> BaseContext:
    """Processes that are forked of one without threads: of OpenMP, OpenCV or a GPU, which forks break."""
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _in_one_sentence(made: Iterator[Batch]) -> Iterator[Batch]:
    """The micro-batches; errors of a worker without its traceback."""
    try:
        yield from made
    except SpinenetError as error:
        last = str(error).strip().splitlines()[-1]
        raise type(error)(last.removeprefix(f"{type(error).__module__}.{type(error).__name__}: ")) from error


def check_ranks(recipe: Recipe, ranks: int) -> None:
    """Raise TrainingError where the ranks cannot share the micro-batches of a step evenly."""
    if recipe.micro_batches % ranks:
        raise TrainingError(
            f"{ranks} ranks cannot share {recipe.micro_batches} micro-batches of a step evenly:"
            " set micro_batches of the recipe to a multiple of the ranks."
        )


def workers_of(recipe: Recipe, ranks: int, workers: int) -> int:
    """The largest number of workers, up to ``workers``, each of which makes whole lanes."""
    return max((n for n in range(1, workers + 1) if recipe.stream.lanes % (ranks * n) == 0), default=0)


def micro_size(recipe: Recipe) -> int:
    """Samples of a micro-batch."""
    return recipe.batch // recipe.micro_batches


def on_device(batch: Batch, device: torch.device) -> Batch:
    """A micro-batch on the device that computes with it."""
    return tuple(tensor.to(device, non_blocking=True) for tensor in batch)
