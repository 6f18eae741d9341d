"""What a process of this machine does for one scan, and how it is set up before its first."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from spinenet.cohort import scan
from spinenet.cohort.checkpoints import Detections
from spinenet.cohort.manifests.manifest import Entry
from spinenet.cohort.scan import Decoded, Orders, Outcome
from spinenet.memory import keep_freed
from spinenet.weights.loaded import THREADS_VARIABLE

DECODER, INFERRER = "decoding process", "inferring process"
"""Names of the two kinds of processes in commit records: those of a kind are alike."""

SIDE_BY_SIDE: Mapping[str, str] = {
    THREADS_VARIABLE: "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
}
"""Environment of processes that share the cores: one thread each, which does not spin while it waits."""

_PARENT_DEATH = 1  # PR_SET_PDEATHSIG of Linux's prctl(2)


def side_by_side_pool(count: int) -> ProcessPoolExecutor:
    """Processes of this machine that share its cores, and that end when this one is killed too."""
    return ProcessPoolExecutor(
        count,
        mp_context=get_context("spawn"),
        initializer=set_up,
        initargs=(SIDE_BY_SIDE, os.getpid()),
    )


def set_up(environment: Mapping[str, str], parent: int) -> None:
    """Take an environment, end with the parent, and leave Ctrl-C to it."""
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DEATH, signal.SIGKILL)
        if os.getppid() != parent:
            # it ended before this process could ask to be told
            os._exit(0)
    keep_freed()


def decode(entry: Entry, orders: Orders) -> Decoded:
    """:func:`spinenet.cohort.scan.decode` in a process of its own."""
    return scan.decode(entry, orders, DECODER)


def infer(decoded: Decoded, orders: Orders, detections: Detections | None = None) -> Outcome:
    """:func:`spinenet.cohort.scan.infer` in a process of its own."""
    return scan.infer(decoded, orders, INFERRER, detections)


@dataclass(frozen=True)
class Steps:
    """What the processes do for a scan, by functions that they can import."""

    decode: Callable[[Entry, Orders], Decoded] = decode
    infer: Callable[[Decoded, Orders, Detections | None], Outcome] = infer

    def both(self, entry: Entry, orders: Orders, detections: Detections | None) -> Outcome:
        """Do one step after the other in one process, for a scan that is tried alone."""
        return self.infer(self.decode(entry, orders), orders, detections)
