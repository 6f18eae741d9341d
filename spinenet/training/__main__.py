"""Trains one network of the ``synthetic`` bundle: ``python -m spinenet.training detector --minutes 60``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from spinenet.networks.detector import Detector
from spinenet.networks.grading import GradingNetwork
from spinenet.networks.labelling import AppearanceNetwork, ContextNetwork
from spinenet.training.context import context_samples
from spinenet.training.loop import appearance_loss, context_loss, detector_loss, grading_loss, train
from spinenet.training.samples import Stream, detector_samples, grading_samples, vertebra_samples

ARCHITECTURE = {
    "detector": {"width": 8, "blocks": [3, 4, 6, 3]},
    "appearance": {"width": 4, "hidden": 128},
    "context": {"width": 16},
    "grading": {"width": 8, "blocks": [1, 1, 1, 1]},
}
"""Of the ``synthetic`` bundle: the published designs, narrower."""


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m spinenet.training", description=__doc__)
    parser.add_argument("network", choices=sorted(ARCHITECTURE))
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--checkpoints", type=Path, default=Path("training"))
    parser.add_argument("--seed", type=int, default=0, help="first training seed; another one when going on")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)
    size = ARCHITECTURE[given.network]
    if given.network == "detector":
        network = Detector(**size).to(memory_format=torch.channels_last)
        stream, loss, batch = Stream(detector_samples, given.seed, buffer=200, repeats=1), detector_loss, 8
    elif given.network == "grading":
        network = GradingNetwork(**size)
        stream, loss, batch = Stream(grading_samples, given.seed, buffer=800, repeats=3), grading_loss, 12
    elif given.network == "appearance":
        network = AppearanceNetwork(**size)
        stream, loss, batch = Stream(vertebra_samples, given.seed, buffer=300, repeats=2), appearance_loss, 12
    else:
        network = ContextNetwork(**size)
        stream, loss, batch = Stream(context_samples, given.seed, buffer=500, repeats=4), context_loss, 16
    batches = DataLoader(stream, batch_size=batch, num_workers=given.workers, prefetch_factor=4)
    train(
        network,
        batches,
        loss,
        given.checkpoints / f"{given.network}.pt",
        minutes=given.minutes,
        learning_rate=given.learning_rate,
    )


if __name__ == "__main__":
    main()
