"""Memory limits of local workers; a worker that exceeds its limit is killed, and its scans retried alone."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from distributed.system import MEMORY_LIMIT

LEAST_BYTES = 4 << 30
"""Least limit of a worker in bytes: room for several scans, or a very large one."""

SHARED = 0.9
"""Share of the machine's memory for the workers; the rest is for the flow, its server and others."""

ONLY_ENDED: Mapping[str, Any] = MappingProxyType(
    {
        "distributed.worker.memory.target": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.pause": False,
        "distributed.worker.memory.terminate": 0.95,
    }
)
"""Dask's memory thresholds. The window of scans in flight bounds a worker's memory, so that nothing needs to
be spilled to disk, and a pause would stop the very scan that should release memory."""


def limited(workers: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Specifications of workers, each limited to its share of the memory."""
    limit = share(len(workers))
    return {
        name: worker | {"options": worker["options"] | {"memory_limit": limit}}
        for name, worker in workers.items()
    }


def share(workers: int, available: int = MEMORY_LIMIT) -> int:
    """Memory limit of each worker in bytes.

    Parameters
    ----------
    workers
        Number of workers.
    available
        Bytes of memory of the machine, or of the container of this process.
    """
    return min(available, max(LEAST_BYTES, int(SHARED * available / max(1, workers))))
