"""File systems of a test's own, to be full or read-only; the test is skipped where it may not mount them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A new folder that is a file system in memory, mounted with ``options`` such as "size=1m" or "ro"."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("this machine does not let the test mount a tmpfs")
    try:
        yield folder
    finally:
        # lazily: a process that was killed may still be leaving it
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
