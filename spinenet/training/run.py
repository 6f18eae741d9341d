"""A training from its request to its card: what the command and the flow do."""

from __future__ import annotations

import logging
from pathlib import Path

from spinenet.storage.disk import write_whole
from spinenet.training.card import card
from spinenet.training.checkpoints import checkpoint_file
from spinenet.training.loop import train
from spinenet.training.ranks import is_first
from spinenet.training.request import TrainingRequest, recipe_of
from spinenet.training.sources import open_sources
from spinenet.training.summary import TrainingSummary

logger = logging.getLogger(__name__)


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
