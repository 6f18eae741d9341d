"""Freed memory of a process that infers: it is kept for the next tensor."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

KEPT = 512 * 2**20
"""Bytes of free memory that a worker keeps for what comes next: a scan's tensors have all the same sizes."""
MAPPED = 256 * 2**20
"""A tensor of more bytes is mapped by itself, and goes back to the system at once."""

WORKER_ENVIRONMENT = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(MAPPED),
    "MALLOC_TRIM_THRESHOLD_": str(KEPT),
}
"""What glibc reads when a worker starts. Dask's own value, 64 KiB to be kept, makes inference map and clear
every tensor anew: as much again of system time as the whole computation takes."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of mallopt(3)


@cache
def keep_freed() -> None:
    """Let this process keep freed memory, whatever it was started with: workers that others start too."""
    set_option = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if set_option is not None:
        set_option(_MMAP_THRESHOLD, MAPPED)
        set_option(_TRIM_THRESHOLD, KEPT)
