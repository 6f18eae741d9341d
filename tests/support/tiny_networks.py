"""Untrained networks of a few channels, as bundles and as checkpoints, for tests that need some weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from spinenet.networks.detector import Detector
from spinenet.networks.grading import GradingNetwork
from spinenet.networks.labelling import AppearanceNetwork, ContextNetwork
from spinenet.weights.networks import Networks, save_bundle
from spinenet.weights.release import SPINENET_V2, Checkpoint, Release

TINY: dict[str, dict[str, Any]] = {
    "detector": {"width": 8, "blocks": [1, 1, 1, 1]},
    "appearance": {"width": 2, "hidden": 16},
    "context": {"width": 4},
    "grading": {"width": 8, "blocks": [1, 1, 1, 1]},
}


def tiny_networks(seed: int = 0) -> Networks:
    """Four untrained networks, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Networks(
            detector=Detector(**TINY["detector"]).eval(),
            appearance=AppearanceNetwork(**TINY["appearance"]).eval(),
            context=ContextNetwork(**TINY["context"]).eval(),
            grading=GradingNetwork(**TINY["grading"]).eval(),
        )


def tiny_bundle(folder: Path, *, seed: int = 0, acceptance_required: bool = False) -> Path:
    """Write the networks as a bundle."""
    save_bundle(
        folder,
        tiny_networks(seed),
        name="tiny",
        architecture=TINY,
        licence="Terms of the tiny bundle",
        acceptance_required=acceptance_required,
        origin="made by a test",
        training_data="none",
        figures={},
    )
    return folder


def tiny_release(base_url: str) -> Release:
    """A release of checkpoints with the published paths and keys, but of tiny networks."""
    return Release("tiny-release", base_url, SPINENET_V2.checkpoints, TINY, "Terms of the tiny release")


def write_checkpoint(folder: Path, item: Checkpoint, state: dict[str, torch.Tensor]) -> Path:
    """One checkpoint as a training script leaves it: the state dict beside the epoch and the loss."""
    path = folder / item.path
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({item.key: state, "epoch": 3, "loss": np.float64(0.25)}, path)
    return path


def tiny_checkpoints(folder: Path, seed: int = 0) -> Path:
    """Write the four checkpoints of a tiny release."""
    networks = tiny_networks(seed)
    for part, item in SPINENET_V2.checkpoints.items():
        write_checkpoint(folder, item, getattr(networks, part).state_dict())
    return folder
