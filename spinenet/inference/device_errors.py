"""Errors of a GPU: after one of them no later work of the same process on it can be right."""

from __future__ import annotations

import re
import sys

_WORDS = re.compile(r"(CUDA|HIP|cuDNN|CUDNN|cuBLAS|CUBLAS)( driver| kernel| internal)?[ _](error|STATUS)")


class DeviceFailed(RuntimeError):  # noqa: N818 - says what happened
    """A GPU failed during a scan, not for want of memory.

    Attributes
    ----------
    detail
        What failed, in a few words without anything of the scan.
    worker
        Name and resources of the worker; empty where there is none.
    """

    def __init__(self, detail: str, worker: str = "") -> None:
        super().__init__(detail, worker)
        self.detail = detail
        self.worker = worker


def is_device_error(error: BaseException) -> bool:
    """Whether an error is a GPU's: a wrong address, an assertion in a kernel, a device that is gone ...

    After these CUDA refuses everything in the same process. Want of memory is none of them.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        # a process that only decodes never imports it
        return False
    if isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error):
        return False
    accelerator = getattr(torch, "AcceleratorError", None)
    if accelerator is not None and isinstance(error, accelerator):
        return True
    return isinstance(error, RuntimeError) and bool(_WORDS.search(str(error)))
