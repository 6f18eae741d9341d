"""Passes images through a network in batches, which are halved where memory runs out."""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from spinenet.errors import ScanError

_log = logging.getLogger(__name__)

_OUT_OF_MEMORY = ("DefaultCPUAllocator: ", "CUDA error: out of memory", "HIP error: out of memory")
"""Texts by which torch reports that memory ran out in an error without a class of its own."""


def device_of(network: nn.Module) -> torch.device:
    """The device of a network's parameters; the CPU if it has none."""
    return next((p.device for p in network.parameters()), torch.device("cpu"))


def pass_through(
    network: nn.Module, images: npt.NDArray[np.float32], batch_size: int
) -> tuple[npt.NDArray[np.float32], ...]:
    """Pass images through a network in batches.

    Where the device's memory does not hold a batch, torch's cache is emptied and the remaining images are
    passed in batches of half the size, down to single images.

    Parameters
    ----------
    network
        The network, in evaluation mode.
    images
        (n, ...) float32, n at least 1.
    batch_size
        Size of the largest batch.

    Returns
    -------
    tuple of ndarray
        The network's outputs, one or more, each (n, ...) float32.

    Raises
    ------
    ScanError
        out_of_memory, if a single image does not fit.
    """
    device = device_of(network)
    outputs: list[tuple[Tensor, ...]] = []
    start = 0
    with torch.inference_mode():
        while start < len(images):
            try:
                outputs.append(_one_pass(network, images[start : start + batch_size], device))
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
                if batch_size == 1:
                    raise ScanError(
                        "out_of_memory", f"the memory of {device.type} does not hold one image in a network"
                    ) from None
                batch_size = max(1, min(batch_size, len(images) - start) // 2)
                _log.warning("memory of %s ran out; going on in batches of %d", device, batch_size)
            else:
                start += batch_size
                continue
            # only here, outside the except clause, does the error no longer hold the failed batch's tensors
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
    """Whether memory ran out; on a CPU torch reports that in the text of a RuntimeError alone."""
    return (
        not isinstance(error, RuntimeError)
        or isinstance(error, torch.OutOfMemoryError)
        or any(words in str(error) for words in _OUT_OF_MEMORY)
    )
