"""The commands that make and score a bundle, from training to figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from spinenet.weights.bundle import verified_bundle
from spinenet.weights.description import PARTS


def training(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "spinenet.training", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)


@pytest.mark.slow
def test_train_pack_and_score(tmp_path: Path) -> None:
    for part in PARTS:
        trained = training("train", part, "--minutes", "0.2", "--checkpoints", tmp_path, "--workers", "1")
        assert trained.returncode == 0, trained.stderr
    packed = training("pack", tmp_path, tmp_path / "bundle")
    assert packed.returncode == 0, packed.stderr
    assert verified_bundle(tmp_path / "bundle").name == "synthetic"
    scored = training("score", tmp_path / "bundle", "--share", "0.01", "--processes", "1")
    assert scored.returncode == 0, scored.stderr
    figures = json.loads(scored.stdout)
    assert figures["all"]["scans"] == 4
    assert len(figures["lumbar T2"]["balanced_accuracy"]) == 11
