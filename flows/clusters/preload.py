"""Preloaded by local workers: they leave Ctrl-C to the flow, and say in lists of processes what they are."""

from __future__ import annotations

import ctypes
import signal
import sys
from importlib import import_module
from typing import Any

_SET_NAME = 15  # PR_SET_NAME of Linux's prctl(2), 15 bytes


def dask_setup(worker: Any) -> None:
    """Take a name such as "spinenet cpu-0", and let the flow end this worker in order.

    Ctrl-C reaches the whole process group of a terminal; without this, each worker ends with a traceback.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if "GPU" in worker.state.total_resources:
        # In the main thread, before its first scan comes: it takes seconds, and threads begin as this one is.
        import_module("spinenet.inference.pipeline")
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_NAME, f"spinenet {worker.name}"[:15].encode())
