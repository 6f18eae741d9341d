"""What a run would take: time from one timed batch of each network, memory from the largest scan."""

from __future__ import annotations

import time
from collections.abc import Iterable

import numpy as np
import torch

from spinenet.index.preview import Preview
from spinenet.networks.shapes import DISC_SHAPE, PATCH_SIZE, VERTEBRA_SHAPE
from spinenet.preflight.manifest_check import n_patches
from spinenet.settings import Settings
from spinenet.weights.networks import Networks

_VERTEBRAE, _DISCS = 10, 6
"""Of a usual lumbar scan, for the estimate of its time."""
_COPIES = 3
"""Volumes in memory while a scan is decoded, turned and brought to square pixels."""


def estimated_seconds(scans: Iterable[Preview], networks: Networks) -> float:
    """Time of inference of one GPU-class worker that runs here, from one timed batch of each network."""
    batch = Settings().batch_size
    with torch.inference_mode():
        patch = _timed(networks.detector, (batch, 1, PATCH_SIZE, PATCH_SIZE)) / batch
        vertebra = _timed(networks.appearance, (1, 1, *VERTEBRA_SHAPE))
        disc = _timed(networks.grading, (1, 1, *DISC_SHAPE))
    every = list(scans)
    return sum(map(n_patches, every)) * patch + len(every) * (_VERTEBRAE * vertebra + _DISCS * disc)


def _timed(network: torch.nn.Module, shape: tuple[int, ...]) -> float:
    device = next(network.parameters()).device
    given = torch.zeros(shape, device=device)
    network(given)
    started = time.perf_counter()
    out = network(given)
    # a copy to the CPU waits for what is still being computed
    (out if isinstance(out, torch.Tensor) else out[0]).cpu()
    return time.perf_counter() - started


def estimated_bytes(scans: Iterable[Preview]) -> int:
    """Memory that reading the largest of some scans takes in a CPU-class worker, per slot."""
    size = np.dtype(np.float32).itemsize
    return max((scan.n_bytes + _COPIES * size * scan.n_values for scan in scans), default=0)
