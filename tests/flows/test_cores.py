"""Cores are counted as a scheduler gives them out, not as the machine has them."""

from __future__ import annotations

import subprocess
import sys

COUNTED = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from flows.cores import cores
print(cores())
"""


def test_a_process_bound_to_one_core_counts_one() -> None:
    told = subprocess.run([sys.executable, "-c", COUNTED], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "1"
