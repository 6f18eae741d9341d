"""Freed memory that lies between what is still held goes back to the system."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time

import psutil
import pytest

from flows.memory import given_back


def resident() -> float:
    """MiB of this process."""
    size: float = psutil.Process().memory_info().rss / 2**20
    return size


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="not glibc's malloc"
)
def test_freed_pieces_are_given_back() -> None:
    held = [bytes(20_000) for _ in range(5000)]
    full = resident()
    held = held[::500]
    with given_back(0.05):
        deadline = time.monotonic() + 10
        while resident() > full - 60 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert resident() < full - 60, f"of {full:.0f} MiB, of which 95 were freed"
        assert any(thread.name == "memory" for thread in threading.enumerate())
    assert len(held) == 10
    assert not any(thread.name == "memory" for thread in threading.enumerate())


def test_an_error_ends_it_too() -> None:
    with pytest.raises(ValueError, match="so"), given_back():
        raise ValueError("so")
    assert not any(thread.name == "memory" for thread in threading.enumerate())


FAULTS = """
import resource, sys
import numpy as np
from spinenet.memory import keep_freed
if sys.argv[1] == "kept":
    keep_freed()
np.ones(2**17)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(400):
    np.ones(2**17)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="not glibc's malloc"
)
def test_a_worker_maps_its_memory_once_whatever_dask_has_set() -> None:
    def faults(how: str) -> int:
        """Pages that are mapped while 400 arrays of 1 MiB come and go, with the setting of Dask's nanny."""
        environment = os.environ | {"MALLOC_TRIM_THRESHOLD_": "65536"}
        told = subprocess.run(
            [sys.executable, "-c", FAULTS, how], env=environment, capture_output=True, text=True, check=True
        )
        return int(told.stdout)

    assert faults("as started") > 400 * 200
    assert faults("kept") < 5000
