"""Passes images through a network in batches, in smaller ones where memory runs out."""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from spinenet.errors import ScanError

_log = logging.getLogger(__name__)


_OUT_OF_MEMORY = ("DefaultCPUAllocator: ", "CUDA error: out of memory", "HIP error: out of memory")
"""Words of the errors that say so without a class of their own."""


def device_of(network: nn.Module) -> torch.device:
    """Where a network's parameters are; the CPU if it has none."""
    return next((p.device for p in network.parameters()), torch.device("cpu"))


def pass_through(
    network: nn.Module, images: npt.NDArray[np.float32], batch_size: int
) -> tuple[npt.NDArray[np.float32], ...]:
    """Pass images through a network in batches.

    Where the device's memory does not hold a batch, what is cached there is given back and the rest goes on
    in batches of half the size, down to single images.

    Parameters
    ----------
    images
        (n, ...), n at least 1.
    batch_size
        The largest batch.

    Returns
    -------
    tuple of ndarray
        The network's outputs, one or more, each (n, ...), on the CPU.

    Raises
    ------
    ScanError
        out_of_memory, if a single image is too much.
    """
    device = device_of(network)
    outputs: list[tuple[Tensor, ...]] = []
    at = 0
    with torch.inference_mode():
        while at < len(images):
            try:
                outputs.append(_one_pass(network, images[at : at + batch_size], device))
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
                if batch_size == 1:
                    raise ScanError(
                        "out_of_memory", f"the memory of {device.type} does not hold one image in a network"
                    ) from None
                batch_size = max(1, min(batch_size, len(images) - at) // 2)
                _log.warning("memory of %s ran out; going on in batches of %d", device, batch_size)
            else:
                at += batch_size
                continue
            # here the failed batch's tensors are no longer held by its error
            if device.type == "cuda":
                torch.cuda.empty_cache()
        return tuple(
            torch.cat(parts).float().cpu().contiguous().numpy() for parts in zip(*outputs, strict=True)
        )


def _one_pass(
    network: nn.Module, images: npt.NDArray[np.float32], device: torch.device
) -> tuple[Tensor, ...]:
    batch = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    if device.type == "cpu" and images.ndim == 4:
        # 2-D convolutions on a CPU are fastest with channels last
        batch = batch.contiguous(memory_format=torch.channels_last)
    output = network(batch)
    return (output,) if isinstance(output, Tensor) else tuple(output)


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: on a CPU torch says so in a RuntimeError's words only."""
    return (
        not isinstance(error, RuntimeError)
        or isinstance(error, torch.OutOfMemoryError)
        or any(words in str(error) for words in _OUT_OF_MEMORY)
    )
