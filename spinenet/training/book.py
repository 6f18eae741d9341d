"""What is kept of a training while it goes on: its history, its scores and its checkpoints."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import torch
from torch import Tensor

from spinenet.errors import TrainingError
from spinenet.storage.disk import sweep
from spinenet.training.begin import Training, checkpoint_of
from spinenet.training.check import HeldOut
from spinenet.training.checkpoints import checkpoint_file, save_checkpoint
from spinenet.training.history import event_writer, say_what_is_left_out, tell_event, write_history

logger = logging.getLogger(__name__)

CURVES_S = 60.0
"""Least time from one drawing of the curves to the next, which takes a good part of a second."""


class Book:
    """Keeps the history and the checkpoints of a training; the first rank's writes them.

    Parameters
    ----------
    start
        When its steps began, on the monotonic clock.
    """

    def __init__(self, run: Training, out: Path, start: float) -> None:
        self._run, self._out, self._start = run, out, start
        self._held_out = HeldOut(run.recipe, run.sources)
        self._losses: list[Tensor] = []
        self._noted = self._drawn = start
        self._events = None
        if run.ranks.first:
            sweep([out])
            self._events = event_writer(out, run.recipe.network, run.begun)
            say_what_is_left_out(events=self._events is not None)

    def note(self, done: int, loss: Tensor, last: bool) -> None:
        """Take in a step's loss; a row of the history where one is due."""
        recipe = self._run.recipe
        self._losses.append(loss)
        scored = recipe.check is not None and (last or done % recipe.check.every == 0)
        if not (last or scored or done % recipe.log_every == 0):
            return
        # Losses are looked at here alone: each look waits for the GPU.
        mean = float(torch.stack(self._losses).mean())
        if not mean - mean == 0:
            raise TrainingError(
                f"The loss is no longer a number at step {done}: lower the learning rate of the recipe, and"
                " start again to go on from the last checkpoint, or in another folder."
            )
        pace = len(self._losses) * recipe.batch / max(time.monotonic() - self._noted, 1e-9)
        row = {"step": done, "loss": mean, "rate": recipe.rate(done - 1), "samples_per_s": round(pace, 2)}
        if scored:
            row |= self._scores()
        self._losses, self._noted = [], time.monotonic()
        self._run.history.append(row)
        if self._run.ranks.first:
            tell_event(self._events, row)
            logger.info("%s", " ".join(f"{name} {value:.4g}" for name, value in row.items()))

    def _scores(self) -> dict[str, float]:
        self._run.ranks.average_statistics(self._run.network)
        if not self._run.ranks.first:
            return {}
        return self._held_out.scores(self._run.network, self._run.loss, self._run.ranks.device)

    def save(self, done: int, *, last: bool) -> None:
        """Write a checkpoint and the history, with curves if it is the last or they are old."""
        self._run.ranks.average_statistics(self._run.network)
        if self._run.ranks.first:
            checkpoint = checkpoint_of(self._run, done, time.monotonic() - self._start)
            save_checkpoint(checkpoint_file(self._out, self._run.recipe.network), checkpoint)
            curves = last or time.monotonic() - self._drawn >= CURVES_S
            write_history(self._out, self._run.recipe.network, self._run.history, curves=curves)
            if curves:
                self._drawn = time.monotonic()

    def close(self) -> None:
        """End the event file."""
        if self._events is not None:
            self._events.close()
