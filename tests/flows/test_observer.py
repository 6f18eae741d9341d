"""Prefect's server may be gone: before a run, in its midst, or since an earlier one of the process."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from noop import STEPS

from flows.cohort import run_cohort
from flows.progress import LogReporter
from flows.server import free_port
from spinenet.cohort.results import read_results

N_SCANS = 160


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "manifest.csv"
    path.write_text("scan_id,path\n" + "".join(f"s{i},p{i}\n" for i in range(N_SCANS)), encoding="utf-8")
    return path


class Killer(LogReporter):
    """Kills the temporary server after the second shard."""

    def __init__(self) -> None:
        super().__init__()
        self.killed: list[int] = []

    def shard(self, index: int, states: Mapping[str, int], seconds: float) -> None:
        super().shard(index, states, seconds)
        if index == 1:
            for pid in own_servers():
                os.kill(pid, signal.SIGKILL)
                self.killed.append(pid)


def own_servers() -> list[int]:
    told = subprocess.run(
        ["pgrep", "-f", f"flows.server [0-9]+ {os.getpid()}$"], capture_output=True, text=True
    )
    return [int(pid) for pid in told.stdout.split()]


class Kept(logging.Handler):
    """What is logged; Prefect's own handlers show it wherever they began."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextmanager
def kept_log() -> Iterator[list[str]]:
    kept, logger = Kept(), logging.getLogger("flows.observer")
    logger.addHandler(kept)
    try:
        yield kept.lines
    finally:
        logger.removeHandler(kept)


def test_a_run_goes_on_without_its_server(manifest: Path) -> None:
    killer = Killer()
    one, two = str(manifest.parent / "one"), str(manifest.parent / "two")
    began = time.monotonic()
    with kept_log() as told:
        summary = run_cohort(str(manifest), one, "synthetic", shard_size=8, steps=STEPS, reporter=killer)
    # a minute's tries for each of 20 shards, and 7 seconds' for each event, would take longer
    assert time.monotonic() - began < 120
    assert len(killer.killed) == 1
    assert summary.states["done"] == N_SCANS
    assert len(read_results(one).scans) == N_SCANS
    assert any("could not be told of a shard; the run goes on" in line for line in told)
    assert any("all is done, but Prefect's server could not be told" in line for line in told)
    # the next run of the process has a server of its own, and tells nothing to the one that is gone
    with kept_log() as told:
        run_cohort(str(manifest), two, "synthetic", shard_size=8, steps=STEPS)
    assert len(read_results(two).scans) == N_SCANS
    assert told == []


def test_a_server_that_is_not_there_is_one_sentence(manifest: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/api"
    told = subprocess.run(
        [sys.executable, "-m", "flows.cli", "run", str(manifest), str(manifest.parent / "out"),
         "--weights", "synthetic"],
        env={**os.environ, "PREFECT_API_URL": url}, capture_output=True, text=True, timeout=150,
    )  # fmt: skip
    assert told.returncode == 1
    last = told.stderr.strip().splitlines()[-1]
    assert "Prefect's server cannot be reached, see PREFECT_API_URL" in last
    assert "Traceback" not in told.stderr
