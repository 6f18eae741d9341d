"""A training from its request to its card: what the command and the flow do."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from spinenet.storage.disk import write_whole
from spinenet.training.card import card
from spinenet.training.checkpoints import checkpoint_file
from spinenet.training.history import Row
from spinenet.training.loop import train
from spinenet.training.ranks import is_first
from spinenet.training.request import TrainingRequest, recipe_of
from spinenet.training.sources import open_sources

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingSummary:
    """What became of a training.

    Attributes
    ----------
    checkpoint
        The file of its latest state.
    step, steps
        How many are done, and how many there are.
    latest
        The last row of its history; empty where there is none.
    first
        Whether this process is the one that writes and tells.
    """

    network: str
    checkpoint: Path
    step: int
    steps: int
    latest: Row
    first: bool


def run_training(request: TrainingRequest) -> TrainingSummary:
    """Train as asked, or go on where it was, and write the card ``NETWORK.md`` beside the checkpoint.

    Raises
    ------
    RecipeError, TrainingError, WeightsError
        As :func:`spinenet.training.loop.train`.
    """
    recipe, out, first = recipe_of(request), Path(request.out), is_first()
    if not first:
        logging.getLogger("spinenet").setLevel(logging.WARNING)
    done = train(
        recipe,
        open_sources(recipe),
        out,
        device=request.device,
        workers=request.workers,
        minutes=request.minutes,
    )
    if first:
        title = f"The {recipe.network}, trained in {out.name}"
        write_whole(out / f"{recipe.network}.md", card(title, [done]).encode())
    latest = done.history[-1] if done.history else {}
    file = checkpoint_file(out, recipe.network)
    return TrainingSummary(recipe.network, file, done.step, recipe.steps, latest, first)
