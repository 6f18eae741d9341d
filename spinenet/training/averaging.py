"""Averages a trained network with that of another bundle, such as the one from which it started.

What the other one knows is so kept nearly as it was, with most of what was learnt since (Wortsman et al.,
"Robust fine-tuning of zero-shot models", arXiv:2109.01903; "Model soups", arXiv:2203.05482).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from spinenet.errors import TrainingError
from spinenet.networks.parts import check_state
from spinenet.training.checkpoints import Checkpoint
from spinenet.weights import Bundle, resolve
from spinenet.weights.networks import load_networks


@dataclass(frozen=True)
class Average:
    """With what a network is averaged.

    Attributes
    ----------
    share
        Of the other network, from 0 to below 1.
    bundle
        Whose network that is: a name, a folder or a URL.
    """

    share: float
    bundle: str

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise TrainingError(f"The share of {self.bundle} is {self.share:g}, not at least 0 and below 1.")


def averaged(checkpoint: Checkpoint, average: Average) -> tuple[dict[str, torch.Tensor], Bundle]:
    """A checkpoint's weights averaged with another bundle's, and that bundle; whole numbers stay its own.

    Raises
    ------
    WeightsError
        The other bundle cannot be used, or its network is of another architecture.
    """
    other = resolve(average.bundle)
    part = checkpoint.recipe.network
    weights = getattr(load_networks(other), part).state_dict()
    check_state(checkpoint.network, weights, f"The {part} of {other.name}")
    mixed = {
        name: torch.lerp(weight, weights[name].to(weight.dtype), average.share)
        for name, weight in checkpoint.network.items()
        if weight.is_floating_point()
    }
    return {**checkpoint.network, **mixed}, other
