"""The losses of the four networks; what nobody labelled takes no part in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from spinenet.anatomy import FINDINGS
from spinenet.networks.shapes import TEMPERATURE, X_ARROWS
from spinenet.training.recipe import LossOptions, Recipe
from spinenet.training.samples import UNLABELLED, Batch

Loss = Callable[[nn.Module, Batch], Tensor]
"""A network and a micro-batch on its device to a scalar."""


def detector_loss(network: nn.Module, batch: Batch, options: LossOptions | None = None) -> Tensor:
    """Weighted squared error of responses plus smooth L1 of arrows near corners, where pixels count."""
    options = options or LossOptions()
    patches, maps, near, counts = batch
    out = network(patches.contiguous(memory_format=torch.channels_last)).float()
    wanted = maps[:, :X_ARROWS]
    errors = (out[:, :X_ARROWS] - wanted) ** 2 * (1 + options.response_weight * wanted)
    responses = (errors * counts).sum() / (counts.sum() * X_ARROWS).clamp(min=1)
    known = near & counts
    mask = torch.cat([known, known], dim=1)
    arrows = nn.functional.smooth_l1_loss(
        out[:, X_ARROWS:] / options.arrow_unit, maps[:, X_ARROWS:] / options.arrow_unit, reduction="none"
    )
    total: Tensor = options.responses * responses + (arrows * mask).sum() / mask.sum().clamp(min=1)
    return total


def appearance_loss(network: nn.Module, batch: Batch) -> Tensor:
    """Cross-entropy of the level; logits are read at the temperature of inference."""
    volumes, levels = batch
    return _cross_entropy(network(volumes.float()).float() / TEMPERATURE, levels)


def context_loss(network: nn.Module, batch: Batch) -> Tensor:
    """Cross-entropy of the level at each row that has a vertebra."""
    images, levels = batch
    logits = network(images).float()[:, 0] / TEMPERATURE
    return _cross_entropy(logits.flatten(0, 1), levels.flatten())


def grading_loss(network: nn.Module, batch: Batch, weights: Sequence[Tensor | None] = ()) -> Tensor:
    """Sum over the findings of the mean cross-entropy of the discs that have a grade of it.

    A grade that only narrows a finding down asks for one of the classes that are left, whichever.

    Parameters
    ----------
    weights
        (n_classes,) for each finding, on the network's device; None, or nothing at all, weighs all alike.
    """
    volumes, _, allowed = batch
    heads = network(volumes.float())
    given = weights or [None] * len(heads)
    losses = [
        _one_of(head.float(), allowed[:, i, : head.shape[1]], weight)
        for i, (head, weight) in enumerate(zip(heads, given, strict=True))
    ]
    return torch.stack(losses).sum()


def class_weights(
    counts: Sequence[tuple[float, Mapping[str, Sequence[int]]]], options: LossOptions
) -> tuple[Tensor | None, ...]:
    """Weights of each finding's classes by inverse frequency, so that a disc weighs 1 on average.

    Parameters
    ----------
    counts
        (share, discs of each class by finding) of each source. A source that does not know a finding has no
        say in it; nobody's finding has no weights.
    options
        ``balance`` is the power, ``balance_limit`` how many times the commonest class a class weighs at most.
    """
    weights: list[Tensor | None] = []
    for finding in FINDINGS:
        known = [(share, np.array(by[finding.name], float)) for share, by in counts if by.get(finding.name)]
        frequency = sum((share * n / max(n.sum(), 1) for share, n in known), np.zeros(finding.n_classes))
        if not options.balance or not frequency.any():
            weights.append(None)
            continue
        weights.append(by_frequency(frequency, options.balance, options.balance_limit))
    return tuple(weights)


def by_frequency(frequency: npt.ArrayLike, power: float, limit: float = np.inf) -> Tensor:
    """(n_classes,) weights by frequency to minus a power, so that an example weighs 1 on average.

    Parameters
    ----------
    frequency
        (n_classes,) of each class, on any scale.
    limit
        How many times the commonest class a class weighs at most.
    """
    share = np.asarray(frequency, float) / np.sum(frequency)
    rarity = share.max() / np.maximum(share, 1e-9)
    weight = np.minimum(rarity**power, limit)
    return torch.tensor(weight / (weight * share).sum(), dtype=torch.float32)


def loss_of(recipe: Recipe, weights: Sequence[Tensor | None] = ()) -> Loss:
    """The loss of a recipe's network with its options; ``weights`` are those of :func:`class_weights`."""
    losses: Mapping[str, Loss] = {
        "detector": lambda network, batch: detector_loss(network, batch, recipe.loss),
        "appearance": appearance_loss,
        "context": context_loss,
        "grading": lambda network, batch: grading_loss(network, batch, weights),
    }
    return losses[recipe.network]


def _cross_entropy(logits: Tensor, classes: Tensor) -> Tensor:
    """Mean over what is labelled; 0 where nothing is, which a plain mean would make not a number."""
    total = nn.functional.cross_entropy(logits, classes, ignore_index=UNLABELLED, reduction="sum")
    return total / (classes != UNLABELLED).sum().clamp(min=1)


def _one_of(logits: Tensor, allowed: Tensor, weight: Tensor | None) -> Tensor:
    """Weighted mean of the cross-entropy of all allowed classes together, of rows that allow any."""
    known = allowed.any(1)
    # a row without any would be infinite, and its gradient not a number even at weight 0
    usable = allowed | ~known[:, None]
    together = nn.functional.log_softmax(logits, 1).masked_fill(~usable, -torch.inf).logsumexp(1)
    per_class = torch.ones_like(logits[0]) if weight is None else weight
    mass = (allowed * per_class).sum(1) / allowed.sum(1).clamp(min=1)
    return -(together * mass).sum() / torch.where(known.any(), mass.sum(), torch.ones_like(mass[0]))
