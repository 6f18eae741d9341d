"""Freed memory: the flow gives it back to the system, and workers keep it for the next tensor."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from dask.utils import key_split

NAMES_REMEMBERED = 5000
"""Of tasks, by Dask in this process."""


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


@contextmanager
def given_back(every_s: float = 2.0) -> Iterator[None]:
    """During the block, and at its start, give free memory back every so many seconds: some ms each time."""
    # musl and other systems have no such function, and no need of it
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    ended = threading.Event()

    def now_and_then() -> None:
        while True:
            # Dask remembers 100,000 names of tasks, 40 MB, of which each is asked for in one moment only.
            if key_split.cache_info().currsize > NAMES_REMEMBERED:
                key_split.cache_clear()
            if trim is not None:
                trim(0)
            if ended.wait(every_s):
                return

    thread = threading.Thread(target=now_and_then, name="memory", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
