"""The two learners: a linear head over cached features, and a head whose own trunk learns too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from spinenet.added_findings import AddedFinding
from spinenet.networks.added import AddedHead
from spinenet.networks.grading import GradingNetwork
from spinenet.training.intervals import Indices
from spinenet.training.tuning.request import Free
from spinenet.training.tuning.variations import varied

TRUNK_RATE = 0.1
"""Rate of a trunk that learns, relative to its head's."""
_LEAST_SPREAD = 1e-6


class FrozenLearner:
    """A linear head over features of a trunk that stays as it is.

    Parameters
    ----------
    features
        (examples, copies + 1, n) float32, the unvaried image first.
    train
        Numbers of the examples whose features give the scale.
    """

    def __init__(self, finding: AddedFinding, features: npt.NDArray[np.float32], train: Indices) -> None:
        self._finding = finding
        seen = features[train].reshape(-1, features.shape[2]).astype(np.float64)
        self._mean = seen.mean(0)
        self._spread = np.maximum(seen.std(0), _LEAST_SPREAD)
        self._features = torch.from_numpy(((features - self._mean) / self._spread).astype(np.float32))
        self._linear = nn.Linear(features.shape[2], finding.n_classes)
        nn.init.zeros_(self._linear.weight)
        nn.init.zeros_(self._linear.bias)

    @property
    def module(self) -> nn.Module:
        """See :class:`spinenet.training.tuning.learning.Learner`."""
        return self._linear

    def groups(self) -> list[dict[str, Any]]:
        """See :class:`spinenet.training.tuning.learning.Learner`."""
        return [{"params": list(self._linear.parameters()), "scale": 1.0}]

    def logits(self, indices: Indices, rng: np.random.Generator | None) -> Tensor:
        """See :class:`spinenet.training.tuning.learning.Learner`."""
        copies = np.zeros(len(indices), np.intp)
        if rng is not None:
            copies = rng.integers(self._features.shape[1], size=len(indices))
        logits: Tensor = self._linear(self._features[indices, copies])
        return logits

    def head(self, architecture: Mapping[str, Any]) -> AddedHead:
        """The head for a bundle, which reads features as they come."""
        head = AddedHead(self._finding, architecture, own_trunk=False)
        weight = self._linear.weight.detach().double().numpy() / self._spread
        bias = self._linear.bias.detach().double().numpy() - weight @ self._mean
        with torch.no_grad():
            head.linear.weight.copy_(torch.from_numpy(weight))
            head.linear.bias.copy_(torch.from_numpy(bias))
        return head.eval()


class FreeLearner:
    """A head with its own copy of the trunk, of which the last stage learns too, or all.

    Means and variances of its batch normalisation stay those of the bundle: the cohorts are small.

    Parameters
    ----------
    images
        (examples, 9, 112, 224) float16.
    """

    def __init__(
        self,
        finding: AddedFinding,
        images: npt.NDArray[np.float16],
        grading: GradingNetwork,
        architecture: Mapping[str, Any],
        free: Free,
        device: torch.device,
    ) -> None:
        self._images, self._device = images, device
        self._head = AddedHead(finding, architecture, own_trunk=True)
        assert self._head.trunk is not None
        trunk = self._head.trunk
        trunk.load_state_dict({k: v for k, v in grading.state_dict().items() if k in trunk.state_dict()})
        nn.init.zeros_(self._head.linear.weight)
        nn.init.zeros_(self._head.linear.bias)
        learns = trunk.layer4 if free == "last" else trunk
        trunk.requires_grad_(False)
        learns.requires_grad_(True)
        self._head.to(device).eval()

    @property
    def module(self) -> nn.Module:
        """See :class:`spinenet.training.tuning.learning.Learner`."""
        return self._head

    def groups(self) -> list[dict[str, Any]]:
        """See :class:`spinenet.training.tuning.learning.Learner`."""
        assert self._head.trunk is not None
        below = [p for p in self._head.trunk.parameters() if p.requires_grad]
        return [
            {"params": list(self._head.linear.parameters()), "scale": 1.0},
            {"params": below, "scale": TRUNK_RATE},
        ]

    def logits(self, indices: Indices, rng: np.random.Generator | None) -> Tensor:
        """See :class:`spinenet.training.tuning.learning.Learner`."""
        images = [self._images[k].astype(np.float32) for k in indices]
        if rng is not None:
            images = [varied(image, rng) for image in images]
        batch = torch.from_numpy(np.stack(images)[:, None]).to(self._device)
        logits: Tensor = self._head(batch)
        return logits.cpu()

    def head(self, architecture: Mapping[str, Any]) -> AddedHead:
        """The head for a bundle."""
        return self._head.cpu().eval()
