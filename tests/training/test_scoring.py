"""Figures of a bundle: one that finds nothing is scored, not a crash."""

from __future__ import annotations

from pathlib import Path

from spinenet.training.scoring import GROUPS, figures
from support.tiny_networks import tiny_bundle


def test_a_bundle_that_finds_nothing_has_recall_zero(tmp_path: Path) -> None:
    scores = figures(str(tiny_bundle(tmp_path / "bundle")), share=0.0)
    assert set(scores) == {"all", *(name for name, *_ in GROUPS)}
    assert scores["all"]["scans"] == len(GROUPS)
    assert scores["all"]["matched"] == 0
    assert scores["all"]["recall"] == 0
    assert scores["lumbar T2"]["balanced_accuracy"]["herniation"] is None
