"""Memory that was freed goes back to the system; glibc keeps it, in pieces, for what may come."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def given_back(every_s: float = 2.0) -> Iterator[None]:
    """During the block, and at its start, give free memory back every so many seconds: some ms each time."""
    # musl and other systems have no such function, and no need of it
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is None:
        yield
        return
    ended = threading.Event()

    def now_and_then() -> None:
        trim(0)
        while not ended.wait(every_s):
            trim(0)

    thread = threading.Thread(target=now_and_then, name="memory", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
