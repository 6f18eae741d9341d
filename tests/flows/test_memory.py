"""Freed memory that lies between what is still held goes back to the system."""

from __future__ import annotations

import ctypes
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
