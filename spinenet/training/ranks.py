"""The processes that train one network together, and the device of each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn

from spinenet.errors import TrainingError

WAIT_S = 1800.0
"""How long a rank waits for another: the first scores the network alone."""


def is_first() -> bool:
    """Whether this process is the one that writes and tells, of those that ``torchrun`` started."""
    return os.environ.get("RANK", "0") == "0"


@dataclass(frozen=True)
class Ranks:
    """One process of those that train a network together.

    Attributes
    ----------
    number, count
        Which it is, from 0, and how many there are.
    device
        Where it computes.
    """

    number: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether it is the one that writes files and logs."""
        return self.number == 0

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one type by their sums over the ranks, in place."""
        if self.count > 1:
            self._sum(tensors)

    def average_statistics(self, network: nn.Module) -> None:
        """Make the running statistics of batch normalisation their mean over the ranks.

        Each rank's are those of its own micro-batches. The mean of running variances leaves out how the
        ranks' means differ, which over many micro-batches is little. Training itself does not read them.
        """
        if self.count > 1:
            statistics = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
            self._sum(statistics)
            for buffer in statistics:
                buffer.div_(self.count)

    def _sum(self, tensors: Sequence[Tensor]) -> None:
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        distributed.all_reduce(flat)
        for tensor, part in zip(tensors, torch.split(flat, [t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.reshape(tensor.shape))


@contextmanager
def joined(device: str = "auto") -> Iterator[Ranks]:
    """The rank that this process is where ``torchrun`` started it; alone where it did not.

    Parameters
    ----------
    device
        auto, cpu, cuda or cuda:N. Ranks on GPUs take one each, by their number on the machine.

    Raises
    ------
    TrainingError
        There is no such device.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    own = device_named(device, int(os.environ.get("LOCAL_RANK", "0")) if count > 1 else None)
    if own.type == "cuda":
        torch.cuda.set_device(own)
    if count == 1:
        yield Ranks(0, 1, own)
        return
    backend = "nccl" if own.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=timedelta(seconds=WAIT_S))
    try:
        yield Ranks(distributed.get_rank(), count, own)
    finally:
        distributed.destroy_process_group()


def device_named(name: str, place: int | None = None) -> torch.device:
    """The device auto, cpu, cuda or cuda:N; the GPU with number ``place`` where one is given.

    Raises
    ------
    TrainingError
        There is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise TrainingError(f"There is no device {name!r}: use auto, cpu, cuda or cuda:N.") from error
    if device.type not in ("cpu", "cuda"):
        raise TrainingError(f"Training runs on cpu or cuda, not on {name!r}.")
    if device.type == "cuda":
        index = place if place is not None else device.index or 0
        if index >= torch.cuda.device_count():
            raise TrainingError(f"There is no GPU {index}: this process sees {torch.cuda.device_count()}.")
        return torch.device("cuda", index)
    return device
