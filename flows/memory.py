"""Freed memory of the flow's process: it is given back to the system."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from dask.utils import key_split

NAMES_REMEMBERED = 5000
"""Names of tasks that Dask may keep in this process."""


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
