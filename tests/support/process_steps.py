"""Steps of a scan in processes of this machine, for scans that end or hold up whoever does them."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from unittest.mock import patch

import spinenet.cohort.scan
from spinenet.cohort import process_steps
from spinenet.cohort.checkpoints import Detections
from spinenet.cohort.manifests.manifest import Entry
from spinenet.cohort.process_steps import Steps
from spinenet.cohort.scan import Decoded, Orders, Outcome
from spinenet.timelimit import time_limit
from support import no_op_steps


def decode(entry: Entry, orders: Orders) -> Decoded:
    """Decode, but for scans whose names say what becomes of their process."""
    if entry.scan_id.startswith("poison"):
        os._exit(9)
    if entry.scan_id.startswith("stuck"):
        with time_limit(1, grace=1):
            never = threading.Lock()
            never.acquire()
            never.acquire()
    if entry.scan_id.startswith("slow"):
        time.sleep(3600)
    if entry.scan_id.startswith("once") and not Path(entry.path).exists():
        Path(entry.path).write_text("the first time", encoding="utf-8")
        os._exit(9)
    return no_op_steps.decode(entry, orders)


def infer(decoded: Decoded, orders: Orders, detections: Detections | None = None) -> Outcome:
    """Rows of a spine, but for scans that end the process, or break its GPU."""
    if decoded.entry.scan_id.startswith("deadly"):
        os._exit(9)
    if decoded.entry.scan_id.startswith("cursed"):
        with patch.object(spinenet.cohort.scan, "_reading", _breaks):
            return process_steps.infer(process_steps.decode(decoded.entry, orders), orders, detections)
    return no_op_steps.infer(decoded, orders, detections)


def _breaks(*values: object) -> None:
    raise RuntimeError("CUDA error: device-side assert triggered")


STEPS = Steps(decode, infer)
