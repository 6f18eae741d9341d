"""Figures of a bundle: one that finds nothing is scored, not a crash."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from spinenet.training.scoring import GROUPS, figures
from support.tiny_networks import tiny_bundle
from support.toy_training import environment


def test_a_bundle_that_finds_nothing_has_recall_zero(tmp_path: Path) -> None:
    scores = figures(str(tiny_bundle(tmp_path / "bundle")), share=0.0)
    assert set(scores) == {"all", *(name for name, *_ in GROUPS)}
    assert scores["all"]["scans"] == len(GROUPS)
    assert scores["all"]["matched"] == 0
    assert scores["all"]["recall"] == 0
    assert scores["lumbar T2"]["balanced_accuracy"]["herniation"] is None


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_killed_it_leaves_no_process_behind(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "flows.cli", "train", "score", str(tiny_bundle(tmp_path / "bundle"))]
    scoring = subprocess.Popen(line, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    made: list[psutil.Process] = []
    # both workers and the one that tracks what they share, at work
    while len(made) < 3 or sum(child.cpu_times().user > 2 for child in made) < 2:
        assert scoring.poll() is None
        time.sleep(0.1)
        made = psutil.Process(scoring.pid).children(recursive=True)
    os.kill(scoring.pid, signal.SIGKILL)
    scoring.wait()
    _, left = psutil.wait_procs(made, timeout=60)
    for process in left:
        process.kill()
    assert not left
