"""Cores of this machine that are this process's to use."""

from __future__ import annotations

import os


def cores() -> int:
    """Cores that this process may use: by its affinity, and by the quota of the container that it runs in."""
    try:
        from dask.system import CPU_COUNT
    except ImportError:
        # pieces of a run do without Dask
        return len(os.sched_getaffinity(0))
    return int(CPU_COUNT)
