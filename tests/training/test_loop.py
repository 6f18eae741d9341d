"""Training: losses fall on a batch that is seen again, checkpoints are gone on from, seeds never meet."""

from collections.abc import Callable, Iterator
from itertools import count, islice, repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from spinenet.networks.detector import Detector
from spinenet.networks.grading import GradingNetwork
from spinenet.networks.labelling import AppearanceNetwork, ContextNetwork
from spinenet.training.context import context_samples
from spinenet.training.loop import appearance_loss, context_loss, detector_loss, grading_loss, train
from spinenet.training.samples import (
    TRAINING_SEEDS,
    Stream,
    detector_samples,
    grading_samples,
    vertebra_samples,
)
from spinenet.training.scoring import FIRST_SEED, GROUPS

CASES: dict[str, tuple[Callable[[], nn.Module], Any, Any]] = {
    "detector": (lambda: Detector(width=8, blocks=(1, 1, 1, 1)), detector_samples, detector_loss),
    "appearance": (lambda: AppearanceNetwork(width=2, hidden=16), vertebra_samples, appearance_loss),
    "context": (lambda: ContextNetwork(width=4), context_samples, context_loss),
    "grading": (lambda: GradingNetwork(width=4, blocks=(1, 1, 1, 1)), grading_samples, grading_loss),
}


def test_no_scored_scan_is_trained_on() -> None:
    assert FIRST_SEED + sum(scans for *_, scans in GROUPS) < TRAINING_SEEDS


@pytest.mark.parametrize("name", sorted(CASES))
def test_each_network_learns_a_batch(name: str, tmp_path: Path) -> None:
    make, samples, loss_of = CASES[name]
    torch.manual_seed(0)
    network: nn.Module = make()
    batch = tuple(torch.stack(part) for part in zip(*islice(Stream(samples, 0), 3), strict=True))
    with torch.no_grad():
        before = float(loss_of(network, batch))
    train(network, islice(repeat(batch), 25), loss_of, tmp_path / "n.pt", minutes=5, learning_rate=3e-3)
    with torch.no_grad():
        after = float(loss_of(network, batch))
    assert after < 0.9 * before
    state = torch.load(tmp_path / "n.pt", weights_only=True)["net"]
    assert state.keys() == network.state_dict().keys()


def test_a_later_run_goes_on_from_the_checkpoint(tmp_path: Path) -> None:
    make, samples, loss_of = CASES["context"]
    batch = tuple(torch.stack(part) for part in zip(*islice(Stream(samples, 0), 2), strict=True))
    first, second = make(), make()
    train(first, [batch] * 3, loss_of, tmp_path / "n.pt", minutes=5, learning_rate=1e-3)
    train(second, [], loss_of, tmp_path / "n.pt", minutes=5, learning_rate=1e-3)
    for key, value in first.state_dict().items():
        torch.testing.assert_close(second.state_dict()[key], value)


def discs() -> Iterator[tuple[torch.Tensor, ...]]:
    """Graded discs in the order made, from the first training seeds that give any."""
    for seed in count(TRAINING_SEEDS):
        yield from grading_samples(seed)


def test_a_mirrored_disc_changes_sides() -> None:
    (volume, labels), (mirrored, swapped) = islice(discs(), 2)
    np.testing.assert_array_equal(volume.numpy()[0, ::-1], mirrored.numpy()[0])
    assert labels[8] == swapped[9]
    assert labels[9] == swapped[8]
