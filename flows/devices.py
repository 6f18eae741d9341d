"""A GPU that failed: no later work of the same process on it can be right, so the worker ends."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from distributed import get_worker

from spinenet.inference.device_errors import DeviceFailed, is_device_error

LAST_WORDS_S = 1.0
"""Time for the news of a failed task to get through, before the process ends."""

EXIT_STATUS = 76
"""Exit status of such a worker; its nanny, or whoever started it, starts another."""

_ending = threading.Event()
"""Set once this process is to end."""


@contextmanager
def ends_with_its_device() -> Iterator[None]:
    """End this worker's process soon after the block fails by its GPU.

    Raises
    ------
    DeviceFailed
        In place of the GPU's own error, which may not be what another process can read.
    """
    if _ending.is_set():
        # What fails now tells nothing of the scan: it is tried elsewhere when its worker is gone.
        threading.Event().wait()
    try:
        yield
    except Exception as error:
        if not isinstance(error, DeviceFailed) and not is_device_error(error):
            raise
        detail = (
            error.detail if isinstance(error, DeviceFailed) else f"the GPU failed ({type(error).__name__})"
        )
        raise DeviceFailed(detail, _end_soon()) from None


def _end_soon() -> str:
    """Name and resources of this worker, whose process ends in a moment; a process without one goes on."""
    try:
        worker = get_worker()
    except ValueError:
        return "no worker"
    _ending.set()
    timer = threading.Timer(LAST_WORDS_S, os._exit, (EXIT_STATUS,))
    timer.daemon = True
    timer.start()
    return f"{worker.name} {'+'.join(sorted(worker.state.total_resources))}".strip()
