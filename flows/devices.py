"""A GPU that failed: no later work of the same process on it can be right, so the process ends."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from distributed import get_worker

LAST_WORDS_S = 1.0
"""For the news of a failed task to get through, before the process ends."""

EXIT_STATUS = 76
"""Of such a worker; its nanny, or whoever started it, starts another."""

_WORDS = re.compile(r"(CUDA|HIP|cuDNN|CUDNN|cuBLAS|CUBLAS)( driver| kernel| internal)?[ _](error|STATUS)")

_ending = threading.Event()
"""Set once this process is to end."""


class DeviceFailed(RuntimeError):  # noqa: N818 - says what happened
    """A task met a GPU that failed, not for want of memory.

    Attributes
    ----------
    worker
        Name and resources of the worker.
    """

    def __init__(self, detail: str, worker: str) -> None:
        super().__init__(detail, worker)
        self.detail = detail
        self.worker = worker


def is_of_the_device(error: BaseException) -> bool:
    """Whether an error is of a GPU: a wrong address, an assertion in a kernel, a device that is gone ...

    After these CUDA refuses everything in the same process. Want of memory is none of them.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        # a worker that only decodes never imports it
        return False
    if isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error):
        return False
    accelerator = getattr(torch, "AcceleratorError", None)
    if accelerator is not None and isinstance(error, accelerator):
        return True
    return isinstance(error, RuntimeError) and bool(_WORDS.search(str(error)))


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
        if not isinstance(error, DeviceFailed) and not is_of_the_device(error):
            raise
        here = _end_soon()
        if isinstance(error, DeviceFailed):
            raise
        raise DeviceFailed(f"the GPU failed ({type(error).__name__})", here) from None


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
