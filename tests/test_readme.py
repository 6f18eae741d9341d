"""Every command and every line of Python in the README runs, on a smaller cohort."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
SMALLER = {
    'python -m venv .venv && .venv/bin/pip install ".[dev]" && ': "",
    ".venv/bin/spinenet": "spinenet",
    "spinenet ": f"{sys.executable} -m flows.cli ",
    "--subjects 8": "--subjects 1",
}
"""What is said for a person, and what is run here; installation is the test environment's own."""
ELSEWHERE = {
    ".venv/bin/python -m pytest -n 2 --dist loadfile",
    "spinenet weights import FOLDER_OF_PT_FILES weights/spinenet-v2",
    "spinenet run manifest.csv OUT --weights synthetic --cluster tcp://scheduler:8786",
    "python -m spinenet.training score spinenet/data/synthetic",
}
"""Run by this suite as a whole, test_weights.py, flows/test_loopback.py and training/test_commands.py."""


def blocks(language: str) -> Iterator[str]:
    """Lines of shell, or whole blocks of Python."""
    for body in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL):
        yield from body.strip().splitlines() if language == "sh" else [body]


def as_run(line: str) -> str:
    for said, run in SMALLER.items():
        line = line.replace(said, run)
    return line


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the demonstration has run, its manifest beside it."""
    folder = tmp_path_factory.mktemp("readme")
    first = next(blocks("sh"))
    ran = subprocess.run(as_run(first), shell=True, cwd=folder, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "vertebrae found" in ran.stdout
    manifest = (folder / "demo" / "cohort" / "manifest.csv").read_text(encoding="utf-8")
    (folder / "manifest.csv").write_text(manifest.replace("dicom/", "demo/cohort/dicom/"), encoding="utf-8")
    return folder


def test_commands(folder: Path) -> None:
    lines = [line for line in list(blocks("sh"))[1:] if line not in ELSEWHERE]
    assert len(lines) >= 3
    for line in lines:
        ran = subprocess.run(
            as_run(line), shell=True, cwd=folder, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, f"{line}: {ran.stderr}"
    for number, body in enumerate(blocks("python")):
        script = folder / f"block{number}.py"
        script.write_text(body, encoding="utf-8")
        ran = subprocess.run(
            [sys.executable, script], cwd=folder, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, f"{body}: {ran.stderr}"


def test_what_runs_elsewhere_is_in_the_readme() -> None:
    assert set(blocks("sh")) >= ELSEWHERE
