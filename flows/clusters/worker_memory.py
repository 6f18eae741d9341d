"""How much memory a local worker may take; one that takes more is ended, and what it held is tried alone."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from distributed.system import MEMORY_LIMIT

LEAST_BYTES = 4 << 30
"""A worker's limit where there is little memory for many cores: several scans, or a very large one."""

SHARED = 0.9
"""Part of the machine's memory that the workers share; the rest is for the flow, its server and others."""

ONLY_ENDED: Mapping[str, Any] = MappingProxyType(
    {
        "distributed.worker.memory.target": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.pause": False,
        "distributed.worker.memory.terminate": 0.95,
    }
)
"""Dask's thresholds. The window of scans in flight keeps a worker's memory in hand, so there is nothing to
write to disk, and a pause would stop the very scan that is to give memory back."""


def limited(workers: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Workers as :class:`distributed.SpecCluster` takes them, each limited to its share of the memory."""
    limit = share(len(workers))
    return {
        name: worker | {"options": worker["options"] | {"memory_limit": limit}}
        for name, worker in workers.items()
    }


def share(workers: int, available: int = MEMORY_LIMIT) -> int:
    """Bytes that each of so many workers may take.

    Parameters
    ----------
    available
        Bytes of the machine, or of the container that this process runs in.
    """
    return min(available, max(LEAST_BYTES, int(SHARED * available / max(1, workers))))
