"""Makes the ``synthetic`` bundle: trains its networks, packs them, scores them on unseen scans."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from spinenet.networks.parts import CLASSES, load_state
from spinenet.networks.shapes import TEMPERATURE
from spinenet.training.context import context_samples
from spinenet.training.loop import appearance_loss, context_loss, detector_loss, grading_loss, train
from spinenet.training.samples import Stream, detector_samples, grading_samples, vertebra_samples
from spinenet.training.scoring import figures
from spinenet.weights.description import PARTS
from spinenet.weights.names import SYNTHETIC
from spinenet.weights.networks import Networks, save_bundle

ARCHITECTURE: dict[str, dict[str, Any]] = {
    "detector": {"width": 8, "blocks": [3, 4, 6, 3]},
    "appearance": {"width": 4, "hidden": 128},
    "context": {"width": 8},
    "grading": {"width": 8, "blocks": [1, 1, 1, 1]},
}
"""Sizes of the networks of the ``synthetic`` bundle: the published designs, narrower."""

RECIPES: dict[str, Any] = {
    "detector": (detector_samples, detector_loss, {"buffer": 200, "repeats": 1}, 8),
    "grading": (grading_samples, grading_loss, {"buffer": 800, "repeats": 3}, 12),
    "appearance": (vertebra_samples, appearance_loss, {"buffer": 300, "repeats": 2}, 12),
    "context": (context_samples, context_loss, {"buffer": 500, "repeats": 4}, 8),
}
"""Sample maker, loss, stream settings and batch size of each network."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m spinenet.training", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("train", help="train one network for a given time; goes on from its checkpoint")
    one.add_argument("network", choices=sorted(ARCHITECTURE))
    one.add_argument("--minutes", type=float, default=60.0)
    one.add_argument("--checkpoints", type=Path, default=Path("training"))
    one.add_argument("--seed", type=int, default=0, help="first training seed; give another when going on")
    one.add_argument("--threads", type=int, default=1)
    one.add_argument("--workers", type=int, default=1)
    one.add_argument("--learning-rate", type=float, default=1e-3)
    two = verbs.add_parser("pack", help="make a bundle of the four checkpoints")
    two.add_argument("checkpoints", type=Path)
    two.add_argument("bundle", type=Path)
    two.add_argument("--figures", type=Path, help="JSON of a scoring to record in bundle.json")
    three = verbs.add_parser("score", help="figures of a bundle on 120 unseen synthetic scans")
    three.add_argument("bundle", type=Path)
    three.add_argument("--share", type=float, default=1.0)
    three.add_argument("--processes", type=int, default=2)
    return parser.parse_args()


def _train(given: argparse.Namespace) -> None:
    torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)
    make, loss, stream, batch = RECIPES[given.network]
    network = CLASSES[given.network](**ARCHITECTURE[given.network])
    if given.network in ("appearance", "context"):
        _sharpen(network)
    if given.network == "detector":
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    batches = DataLoader(
        Stream(make, given.seed, **stream), batch_size=batch, num_workers=given.workers, prefetch_factor=4
    )
    file = given.checkpoints / f"{given.network}.pt"
    train(network, batches, loss, file, minutes=given.minutes, learning_rate=given.learning_rate)


def _sharpen(network: torch.nn.Module) -> None:
    """Scale the last layer's initial weights by the temperature, which else would flatten the softmax."""
    last = list(network.parameters())[-2:]
    with torch.no_grad():
        for parameter in last:
            parameter.mul_(TEMPERATURE)


def _pack(given: argparse.Namespace) -> None:
    modules = {}
    for part in PARTS:
        file = given.checkpoints / f"{part}.pt"
        state = torch.load(file, weights_only=True)["net"]
        modules[part] = load_state(part, ARCHITECTURE, state, str(file))
    save_bundle(
        given.bundle,
        Networks(**modules),
        name=SYNTHETIC,
        architecture=ARCHITECTURE,
        licence="The licence of spinenet (LICENCE.md): research use only, not a medical device.",
        origin="Trained by python -m spinenet.training",
        training_data="Synthetic spines drawn by spinenet.synthetic alone; no patient's image.",
        figures=json.loads(given.figures.read_text(encoding="utf-8")) if given.figures else {},
    )


def main() -> None:
    """Parse the command line and run its command."""
    given = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if given.verb == "train":
        _train(given)
    elif given.verb == "pack":
        _pack(given)
    else:
        scores = figures(given.bundle, share=given.share, processes=given.processes)
        json.dump(scores, sys.stdout, indent=2)
        sys.stdout.write("\n")


if __name__ == "__main__":
    main()
