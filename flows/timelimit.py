"""A time limit for work in a thread: an exception first, the end of the process if that does not help."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from spinenet.errors import ScanError

GRACE_SECONDS = 30.0
"""Time that compiled code gets to come back to Python and meet the exception."""


class _TooLong(BaseException):
    """Raised inside the thread; no ``except Exception`` on the way swallows it."""


@contextmanager
def time_limit(seconds: float, grace: float = GRACE_SECONDS) -> Iterator[None]:
    """Stop the work of a ``with`` block that takes longer than ``seconds``.

    Raises
    ------
    ScanError
        With reason "time_limit". Work that does not even answer to that takes its worker process with it.
    """
    thread, over, lock = threading.get_ident(), threading.Event(), threading.Lock()
    watcher = threading.Thread(target=_watch, args=(thread, over, lock, seconds, grace), daemon=True)
    watcher.start()
    try:
        yield
    except _TooLong:
        raise ScanError("time_limit", f"stopped after {seconds:g} seconds") from None
    finally:
        with lock:
            over.set()
            # An exception that was sent and has not struck yet must not strike the thread's next work.
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), None)


def _watch(thread: int, over: threading.Event, lock: threading.Lock, seconds: float, grace: float) -> None:
    if over.wait(seconds):
        return
    with lock:
        if over.is_set():
            return
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(_TooLong))
    if not over.wait(grace):
        os._exit(75)
