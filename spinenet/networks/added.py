"""Heads that a bundle adds to its grading network: over the network's own trunk, or over one of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from spinenet.added_findings import AddedFinding
from spinenet.networks.grading import GradingNetwork, GradingTrunk

FEATURES_VERSION = 1
"""Of :func:`features`: heads over other features do not fit."""

_GRID = (1, 2, 4)
"""(slices, rows, columns) parts of the last map that are averaged by themselves: it counts where what is."""


def features(maps: tuple[Tensor, Tensor]) -> Tensor:
    """(N, n) features of the maps of a trunk's last two stages: means of both, and of parts of the last."""
    third, last = maps
    grid = nn.functional.adaptive_avg_pool3d(last, _GRID)
    return torch.cat([last.mean((2, 3, 4)), third.mean((2, 3, 4)), grid.flatten(1)], dim=1)


def n_features(architecture: Mapping[str, Any]) -> int:
    """Length of :func:`features` for a grading network of this size."""
    rows, columns = _GRID[1:]
    return int(architecture.get("width", 64)) * (8 + 4 + 8 * rows * columns)


class AddedHead(nn.Module):
    """One finding from features of a trunk.

    Parameters
    ----------
    finding
        What it grades.
    architecture
        Of the bundle's grading network.
    own_trunk
        Whether it has a trunk of its own, as one has that was not frozen when it was trained.
    """

    def __init__(self, finding: AddedFinding, architecture: Mapping[str, Any], *, own_trunk: bool) -> None:
        super().__init__()
        self.finding = finding
        self.linear = nn.Linear(n_features(architecture), finding.n_classes)
        self.trunk = GradingTrunk(**architecture) if own_trunk else None

    def forward(self, x: Tensor, shared: Tensor | None = None) -> Tensor:
        """(N, n_classes) logits of (N, 1, 9, 112, 224) volumes and the features of the shared trunk."""
        if self.trunk is not None:
            shared = features(self.trunk.maps(x))
        logits: Tensor = self.linear(shared)
        return logits


class WithAdded(nn.Module):
    """A grading network and heads that share its trunk, which is passed once.

    Parameters
    ----------
    grading
        The network, whose own logits are the same with and without the heads.
    heads
        Of the findings that are added.
    alone
        Whether the logits of the heads alone are wanted.
    """

    def __init__(self, grading: nn.Module, heads: Sequence[AddedHead], *, alone: bool = False) -> None:
        super().__init__()
        if not isinstance(grading, GradingNetwork):
            raise TypeError("added findings need the grading network that they were trained with")
        self.grading, self.heads, self.alone = grading, nn.ModuleList(heads), alone

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Logits of the 11 findings, unless the heads are alone, and then of each head."""
        maps = self.grading.maps(x)
        shared = features(maps)
        added = tuple(head(x, shared) for head in self.heads)
        return added if self.alone else (*self.grading.graded(maps[1]), *added)


class TrunkFeatures(nn.Module):
    """The features of a grading network's trunk, as heads that share it see them."""

    def __init__(self, grading: nn.Module) -> None:
        super().__init__()
        if not isinstance(grading, GradingTrunk):
            raise TypeError("features are those of a grading network's trunk")
        self.trunk = grading

    def forward(self, x: Tensor) -> Tensor:
        """(N, n) features of (N, 1, 9, 112, 224) volumes."""
        return features(self.trunk.maps(x))
