"""Cores of this machine that are this process's to use."""

from __future__ import annotations

from dask.system import CPU_COUNT


def cores() -> int:
    """Cores that this process may use: by its affinity, and by the quota of the container that it runs in."""
    return int(CPU_COUNT)
