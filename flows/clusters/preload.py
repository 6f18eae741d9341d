"""Dask preload of local workers: they ignore Ctrl-C, which the flow handles, and get a process name."""

from __future__ import annotations

import ctypes
import signal
import sys
from importlib import import_module
from typing import Any

_SET_NAME = 15  # PR_SET_NAME of Linux's prctl(2), 15 bytes


def dask_setup(worker: Any) -> None:
    """Set a process name such as "spinenet cpu-0", and leave the end of this worker to the flow.

    Ctrl-C reaches the whole process group of a terminal; without this, each worker ends with a traceback.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if "GPU" in worker.state.total_resources:
        # before the first scan, as the import takes seconds; in the main thread, from which others inherit
        import_module("spinenet.inference.pipeline")
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_NAME, f"spinenet {worker.name}"[:15].encode())
