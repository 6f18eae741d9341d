"""Trains one network for a given time, with checkpoints from which a later run continues."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from spinenet.networks.shapes import TEMPERATURE, X_ARROWS
from spinenet.storage.disk import write_whole

logger = logging.getLogger(__name__)

Batch = tuple[Tensor, ...]
RESPONSE_WEIGHT = 30.0
"""Weight of a pixel of full response relative to background, as landmarks cover few pixels."""
ARROW_UNIT = 10.0
"""Patch pixels by which arrow errors are divided, to bring them to the scale of response errors."""


def detector_loss(network: nn.Module, batch: Batch) -> Tensor:
    """Weighted squared error on the responses plus smooth L1 on the arrows near corners."""
    patches, maps, near = batch
    out = network(patches.contiguous(memory_format=torch.channels_last))
    wanted = maps[:, :X_ARROWS]
    responses = ((out[:, :X_ARROWS] - wanted) ** 2 * (1 + RESPONSE_WEIGHT * wanted)).mean()
    mask = torch.cat([near, near], dim=1)
    arrows = nn.functional.smooth_l1_loss(
        out[:, X_ARROWS:] / ARROW_UNIT, maps[:, X_ARROWS:] / ARROW_UNIT, reduction="none"
    )
    total: Tensor = 10 * responses + (arrows * mask).sum() / mask.sum().clamp(min=1)
    return total


def appearance_loss(network: nn.Module, batch: Batch) -> Tensor:
    """Cross-entropy of the level; logits are read at the temperature of inference."""
    volumes, levels = batch
    return nn.functional.cross_entropy(network(volumes.float()) / TEMPERATURE, levels)


def context_loss(network: nn.Module, batch: Batch) -> Tensor:
    """Cross-entropy of the level at each vertebra's row; rows without one carry -1."""
    images, levels = batch
    logits = network(images)[:, 0] / TEMPERATURE
    return nn.functional.cross_entropy(logits.flatten(0, 1), levels.flatten(), ignore_index=-1)


def grading_loss(network: nn.Module, batch: Batch) -> Tensor:
    """Mean over the findings of the cross-entropy, each with a light gain and noise augmentation."""
    volumes, labels = batch
    volumes = volumes.float()
    gain = 1 + 0.2 * (torch.rand(len(volumes), 1, 1, 1, 1) - 0.5)
    volumes = volumes * gain + 0.02 * torch.rand(len(volumes), 1, 1, 1, 1) * torch.randn_like(volumes)
    heads = network(volumes)
    losses = [nn.functional.cross_entropy(head, labels[:, i]) for i, head in enumerate(heads)]
    return torch.stack(losses).sum()


def train(
    network: nn.Module,
    batches: Iterable[Batch],
    loss_of: Callable[[nn.Module, Batch], Tensor],
    checkpoint: Path,
    *,
    minutes: float,
    learning_rate: float,
    save_every: float = 120.0,
) -> None:
    """Train with AdamW under a rate that warms up and falls to a hundredth as the time runs out.

    Parameters
    ----------
    checkpoint
        File that holds the network's state; if present, training goes on from it.
    minutes
        Wall time of this run.
    save_every
        Seconds between checkpoints.
    """
    if checkpoint.exists():
        network.load_state_dict(torch.load(checkpoint, weights_only=True)["net"])
        logger.info("going on from %s", checkpoint)
    optimiser = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=1e-3)
    network.train()
    start = saved = time.monotonic()
    total, seen, running = 60 * minutes, 0, float("nan")
    for step, batch in enumerate(batches):
        done = (time.monotonic() - start) / total
        if done >= 1:
            break
        rate = learning_rate * min(1.0, (step + 1) / 100) * max(0.01, min(1.0, 1.6 * (1 - done)))
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss = loss_of(network, batch)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        seen += len(batch[0])
        value = float(loss.detach())
        running = value if running != running else 0.98 * running + 0.02 * value
        if step % 50 == 0:
            pace = seen / (time.monotonic() - start)
            logger.info("step %d samples %d loss %.4f rate %.1e %.1f/s", step, seen, running, rate, pace)
        if time.monotonic() - saved > save_every:
            save(network, checkpoint)
            saved = time.monotonic()
    save(network, checkpoint)


def save(network: nn.Module, checkpoint: Path) -> None:
    """Write or replace a checkpoint atomically."""
    state = {"net": network.state_dict()}
    write_whole(checkpoint, lambda path: torch.save(state, path))
