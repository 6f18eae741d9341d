"""The guide's page on fine-tuning is run as it stands: its lines of shell, then its block of Python."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.prefect_home import home

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "guide" / "finetune.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return [body.strip() for body in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)]


def run(line: list[str], folder: Path) -> str:
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_line_of_the_page_runs(tmp_path: Path) -> None:
    home(Path(os.environ["PREFECT_HOME"]))
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "spinenet").write_text(f'#!/bin/sh\nexec {sys.executable} -m flows.cli "$@"\n', encoding="utf-8")
    (bin_ / "spinenet").chmod(0o755)
    script = f'export PATH="{bin_}:$PATH" PYTHONPATH="{ROOT}"\n' + "\n".join(blocks("sh"))
    said = run(["bash", "-eux", "-c", script], tmp_path)
    assert "The bundle with-wear has wear: spinenet run ... --weights with-wear --regrade" in said
    assert "4 folds: balanced_accuracy" in said
    assert "from 3 subjects: balanced_accuracy" in said
    (python,) = blocks("python")
    told = run([sys.executable, "-c", python], tmp_path)
    assert told.strip().endswith("ordinal: 1 none, 2 little, 3 some, 4 much, 5 gone.")
