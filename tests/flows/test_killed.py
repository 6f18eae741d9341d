"""Runs that are killed at a random moment and started again end with the tables of an undisturbed run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from support.cohorts import Undisturbed, assert_same_tables, command, spinenet


def said_in(out: Path) -> Path:
    """The file that gets what a run of ``out`` says."""
    return out.with_suffix(".log")


def gone(group: int, patience: float = 60) -> bool:
    """Whether all processes of a group end within ``patience`` seconds."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.2)
    return False


def start_and_kill(
    undisturbed: Undisturbed, out: Path, signal_number: int, delay: float
) -> subprocess.Popen[bytes]:
    """Start a run in a process group of its own; signal it ``delay`` seconds after its plan is written."""
    with said_in(out).open("wb") as errors:
        process = subprocess.Popen(
            command("run", undisturbed.manifest, out, *undisturbed.arguments),
            stdout=subprocess.DEVNULL,
            stderr=errors,
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
    assert gone(process.pid)
    again = spinenet("run", undisturbed.manifest, out, *undisturbed.arguments, "--no-prefect")
    assert again.returncode == 3, again.stderr
    assert_same_tables(undisturbed.out, out)


def test_terminated_run_ends_soon_and_says_how_to_go_on(undisturbed: Undisturbed, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start_and_kill(undisturbed, out, signal.SIGTERM, 8)
    status, said = process.wait(60), said_in(out).read_text(encoding="utf-8")
    assert status == 1, said
    assert "start it again" in said
    assert gone(process.pid)
