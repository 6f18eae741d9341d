"""A training that begins: its network new, from a bundle, or as a checkpoint has it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from spinenet.networks.parts import CLASSES, build, check_state
from spinenet.networks.shapes import TEMPERATURE
from spinenet.training.checkpoints import (
    Checkpoint,
    check_same,
    checkpoint_file,
    hardware_of,
    load_checkpoint,
    versions_here,
)
from spinenet.training.history import Row
from spinenet.training.losses import Loss, class_weights, loss_of
from spinenet.training.ranks import Ranks
from spinenet.training.recipe import Recipe
from spinenet.training.sources import Source
from spinenet.weights import resolve
from spinenet.weights.networks import load_networks


@dataclass(frozen=True, eq=False)
class Training:
    """What a training holds in memory; the network, its optimiser and the history change with each step.

    Attributes
    ----------
    begun
        Steps that were done before, by earlier starts.
    spent_s
        Wall time of those.
    """

    recipe: Recipe
    sources: tuple[Source, ...]
    ranks: Ranks
    network: nn.Module
    optimiser: torch.optim.Optimizer
    loss: Loss
    history: list[Row]
    begun: int
    spent_s: float


def begin(recipe: Recipe, sources: tuple[Source, ...], out: Path, ranks: Ranks) -> Training:
    """The network new, from a bundle, or as its checkpoint in ``out`` has it.

    Raises
    ------
    TrainingError
        The checkpoint cannot be read, or is of another recipe or of other data.
    WeightsError
        The architecture cannot be built, or does not fit the bundle.
    """
    file = checkpoint_file(out, recipe.network)
    checkpoint = load_checkpoint(file) if file.exists() else None
    if checkpoint is not None:
        check_same(checkpoint, recipe, (source.digest for source in sources), file)
    network = _network(recipe, checkpoint)
    network.to(ranks.device)
    if recipe.network == "detector":
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.train()
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    if checkpoint is not None:
        optimiser.load_state_dict(checkpoint.optimiser)
    counts = [
        (entry.share, source.class_counts) for entry, source in zip(recipe.sources, sources, strict=True)
    ]
    weights = [
        None if weight is None else weight.to(ranks.device) for weight in class_weights(counts, recipe.loss)
    ]
    return Training(
        recipe=recipe,
        sources=sources,
        ranks=ranks,
        network=network,
        optimiser=optimiser,
        loss=loss_of(recipe, weights),
        history=list(checkpoint.history) if checkpoint else [],
        begun=checkpoint.step if checkpoint else 0,
        spent_s=checkpoint.seconds if checkpoint else 0.0,
    )


def _network(recipe: Recipe, checkpoint: Checkpoint | None) -> nn.Module:
    part = recipe.network
    # refuses an architecture that cannot be built
    expected = build(part, {part: recipe.architecture}).state_dict()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = CLASSES[part](**recipe.architecture)
    if checkpoint is not None:
        network.load_state_dict(checkpoint.network)
    elif recipe.start is not None:
        bundle = resolve(recipe.start)
        state = getattr(load_networks(bundle), part).state_dict()
        check_state(expected, state, f"The {part} of {bundle.name}")
        network.load_state_dict(state)
    elif part in ("appearance", "context"):
        _sharpen(network)
    return network


def _sharpen(network: nn.Module) -> None:
    """Scale the last layer's initial weights by the temperature, which else would flatten the softmax."""
    with torch.no_grad():
        for parameter in list(network.parameters())[-2:]:
            parameter.mul_(TEMPERATURE)


def checkpoint_of(run: Training, done: int, seconds: float) -> Checkpoint:
    """The state after ``done`` steps, the latest of which took ``seconds``."""
    return Checkpoint(
        recipe=run.recipe,
        digests=tuple(source.digest for source in run.sources),
        step=done,
        network=run.network.state_dict(),
        optimiser=run.optimiser.state_dict(),
        history=run.history,
        seconds=run.spent_s + seconds,
        hardware=hardware_of(run.ranks.device, run.ranks.count),
        versions=versions_here(),
    )
