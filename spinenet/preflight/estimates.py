"""Estimates a run's time, from one timed batch of each network, and memory, from the largest scan."""

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
"""Vertebrae and discs of a usual lumbar scan, for the estimate of its time."""
_COPIES = 3
"""Copies of the volume in memory while a scan is decoded, oriented and resampled to square pixels."""


def estimated_seconds(scans: Iterable[Preview], networks: Networks) -> float:
    """Seconds of inference on one GPU-class worker of this machine, from one timed batch of each network."""
    batch = Settings().batch_size
    with torch.inference_mode():
        patch = _timed(networks.detector, (batch, 1, PATCH_SIZE, PATCH_SIZE)) / batch
        vertebra = _timed(networks.appearance, (1, 1, *VERTEBRA_SHAPE))
        disc = _timed(networks.grading, (1, 1, *DISC_SHAPE))
    all_scans = list(scans)
    return sum(map(n_patches, all_scans)) * patch + len(all_scans) * (_VERTEBRAE * vertebra + _DISCS * disc)


def _timed(network: torch.nn.Module, shape: tuple[int, ...]) -> float:
    device = next(network.parameters()).device
    images = torch.zeros(shape, device=device)
    network(images)
    started = time.perf_counter()
    out = network(images)
    # a copy to the CPU waits for what is still being computed
    (out if isinstance(out, torch.Tensor) else out[0]).cpu()
    return time.perf_counter() - started


def estimated_bytes(scans: Iterable[Preview]) -> int:
    """Bytes of memory that a slot of a CPU-class worker takes to decode the largest scan."""
    size = np.dtype(np.float32).itemsize
    return max((scan.n_bytes + _COPIES * size * scan.n_values for scan in scans), default=0)
