"""Trains one network by its recipe, in one process or several."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn

from spinenet.training.begin import Training, begin, checkpoint_of
from spinenet.training.book import Book
from spinenet.training.checkpoints import Checkpoint
from spinenet.training.ranks import Ranks, joined
from spinenet.training.recipe import Recipe
from spinenet.training.samples import Batch
from spinenet.training.sources import Source
from spinenet.training.stream import check_ranks, micro_batches, on_device


def train(
    recipe: Recipe,
    sources: Sequence[Source],
    out: Path,
    *,
    device: str = "auto",
    workers: int | None = None,
    minutes: float | None = None,
) -> Checkpoint:
    """Train a network, or go on from the checkpoint in ``out``.

    Started by ``torchrun``, all ranks call it: they share each step's micro-batches, and the first of them
    writes. On one rank a training that was killed ends with the very weights of one that was not; several
    ranks differ from one by rounding alone.

    Parameters
    ----------
    out
        Folder on a disk for the checkpoint, its history and its events.
    device
        auto, cpu, cuda or cuda:N.
    workers
        Processes of each rank that make samples, at the most; by default half of the cores.
    minutes
        Wall time after which a checkpoint is written and training ends, finished or not.

    Returns
    -------
    Checkpoint
        The last one.

    Raises
    ------
    RecipeError, TrainingError, WeightsError
        It cannot begin, or the loss is no longer a number.
    """
    with joined(device) as ranks:
        check_ranks(recipe, ranks.count)
        workers = _cores(ranks) // 2 if workers is None else workers
        _share_cores(ranks, workers)
        run = begin(recipe, tuple(sources), out, ranks)
        return _steps(run, out, workers, None if minutes is None else 60 * minutes)


def _steps(run: Training, out: Path, workers: int, seconds: float | None) -> Checkpoint:
    """All steps that are left, or those of some seconds."""
    recipe, ranks, start = run.recipe, run.ranks, time.monotonic()
    if run.begun >= recipe.steps:
        return checkpoint_of(run, recipe.steps, 0.0)
    batches = micro_batches(
        recipe,
        run.sources,
        first_step=run.begun,
        rank=ranks.number,
        ranks=ranks.count,
        workers=workers,
        pinned=ranks.device.type == "cuda",
    )
    book = Book(run, out, start)
    for step in range(run.begun, recipe.steps):
        wishes = seconds is not None and time.monotonic() - start >= seconds
        loss, wished = _step(run, batches, step, wishes if seconds is not None else None)
        done = step + 1
        last = done == recipe.steps or wished
        book.note(done, loss, last)
        if last or done % recipe.checkpoint_every == 0:
            book.save(done, last=last)
        if last:
            break
    book.close()
    return checkpoint_of(run, done, time.monotonic() - start)


def _step(run: Training, batches: Iterator[Batch], step: int, wishes: bool | None) -> tuple[Tensor, bool]:
    """One step of the optimiser: its loss, and whether a rank wishes to end (None: nobody is asked)."""
    recipe, ranks = run.recipe, run.ranks
    rate = recipe.rate(step)
    for group in run.optimiser.param_groups:
        group["lr"] = rate
    run.optimiser.zero_grad(set_to_none=True)
    told = torch.zeros(2, device=ranks.device)
    for _ in range(recipe.micro_batches // ranks.count):
        batch = on_device(next(batches), ranks.device)
        with _precision(run):
            loss = run.loss(run.network, batch) / recipe.micro_batches
        loss.backward()  # type: ignore[no-untyped-call]
        told[0] += loss.detach()
    told[1] = float(wishes or False)
    parameters = list(run.network.parameters())
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    ranks.add_up([*(p.grad for p in parameters if p.grad is not None), told])
    nn.utils.clip_grad_norm_(parameters, recipe.clip)
    run.optimiser.step()
    return told[0], wishes is not None and bool(told[1] > 0)


def _precision(run: Training) -> AbstractContextManager[object]:
    if run.recipe.precision == "bfloat16" and run.ranks.device.type == "cuda":
        return torch.autocast("cuda", torch.bfloat16)
    return nullcontext()


def _cores(ranks: Ranks) -> int:
    """Cores for each rank of this machine."""
    return max(1, len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", ranks.count)))


def _share_cores(ranks: Ranks, workers: int) -> None:
    """Leave the workers' cores to them; with its variable, the user says how many threads compute."""
    if ranks.device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, _cores(ranks) - workers))
