"""Preloaded by local workers: Ctrl-C reaches the whole process group of a terminal, and is for the flow."""

from __future__ import annotations

import signal


def dask_setup(worker: object) -> None:
    """Let the worker live on; the flow ends it in order, without a traceback on the terminal."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
