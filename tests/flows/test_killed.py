"""Runs that are killed at a random moment and started again end with the tables of an undisturbed run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from cohorts import assert_same_tables, command, spinenet
from conftest import Undisturbed


def start_and_kill(
    undisturbed: Undisturbed, out: Path, signal_number: int, delay: float
) -> subprocess.Popen[bytes]:
    """Start a run in a process group of its own; signal it ``delay`` seconds after its plan is written."""
    process = subprocess.Popen(
        command("run", undisturbed.manifest, out, *undisturbed.arguments),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not (out / "_run" / "run.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(delay)
    process.send_signal(signal_number)
    return process


@pytest.mark.parametrize("attempt", [0, *(pytest.param(i, marks=pytest.mark.slow) for i in range(1, 5))])
def test_kill_and_resume(undisturbed: Undisturbed, tmp_path: Path, attempt: int) -> None:
    out = tmp_path / "out"
    process = start_and_kill(undisturbed, out, signal.SIGKILL, random.Random(attempt).uniform(2, 40))
    assert process.wait(60) in (-signal.SIGKILL, 3)
    again = spinenet("run", undisturbed.manifest, out, *undisturbed.arguments)
    assert again.returncode == 3, again.stderr
    assert_same_tables(undisturbed.out, out)


def test_terminated_run_ends_soon_and_says_how_to_go_on(undisturbed: Undisturbed, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start_and_kill(undisturbed, out, signal.SIGTERM, 8)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1, errors
    assert b"start it again" in errors
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
