"""The README is run as it stands: every line of shell, every block of Python, every figure that it prints.

Two lines are run elsewhere: the installation, by ``.ci/run`` from a fresh clone; the tests, which are these.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from flows.prefect_server.server import free_port
from spinenet.networks.parts import CLASSES
from spinenet.weights.release import SPINENET_V2
from support.local_server import serve
from support.prefect_home import home
from support.tiny_networks import write_checkpoint

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
INSTALL = 'python -m venv .venv && .venv/bin/pip install ".[dev]" && '
TESTS = ".venv/bin/python -m pytest -n 2 --dist loadfile"
DEMO_RUN_BEFORE = "SPINENET_DEMO"
"""Names a folder in which the README's first line was run already, its output in ``demo.txt``."""


def blocks(language: str) -> list[str]:
    """Fenced blocks of a language, in order."""
    return [body.strip() for body in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)]


def words(text: str) -> list[str]:
    """The text's lines, whatever the width of its columns."""
    return [" ".join(line.split()) for line in text.splitlines()]


def run(script: str, folder: Path, **environment: str) -> str:
    """Run lines of shell one after another, the first that fails ending them; what they printed."""
    ran = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, f"{ran.stdout[-2000:]}\n{ran.stderr[-4000:]}"
    return ran.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the environment and the repository's ``infra``, as the README's reader has them."""
    home(Path(os.environ["PREFECT_HOME"]))
    folder = tmp_path_factory.mktemp("readme")
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "infra").symlink_to(REPOSITORY / "infra")
    before = os.environ.get(DEMO_RUN_BEFORE)
    if before is None:
        first = blocks("sh")[0]
        assert first.startswith(INSTALL)
        printed = run(first.removeprefix(INSTALL), folder)
        (folder / "demo.txt").write_text(printed, encoding="utf-8")
    else:
        for name in ("demo", "demo.txt"):
            (folder / name).symlink_to(Path(before, name).resolve())
    (folder / "manifest.csv").write_text(blocks("csv")[0] + "\n", encoding="utf-8")
    return folder


@pytest.mark.timeout(1200)
def test_the_demonstration_prints_what_the_readme_says(folder: Path) -> None:
    printed = words((folder / "demo.txt").read_text(encoding="utf-8"))
    promised = words(blocks("text")[0])
    assert len(promised) == 7
    assert [line for line in promised if line not in printed] == []


@pytest.fixture(scope="module")
def published(folder: Path) -> Iterator[str]:
    """URL of a server of files with the published names and sizes; they lie in ``published-weights`` too."""
    files = folder / "published-weights"
    for part, item in SPINENET_V2.checkpoints.items():
        with torch.device("meta"):  # nothing is drawn at random, for nothing is computed with them
            state = CLASSES[part]().state_dict()
        write_checkpoint(
            files, item, {key: torch.zeros(it.shape, dtype=it.dtype) for key, it in state.items()}
        )
    with serve(files) as server:
        yield server.url


@pytest.mark.timeout(1200)
def test_every_line_runs(folder: Path, published: str) -> None:
    install, tests, *others = blocks("sh")
    assert (install[: len(INSTALL)], tests) == (INSTALL, TESTS)
    dask = str(free_port())
    lines = "\n".join(others)
    assert "8786" in lines
    run(
        lines.replace("8786", dask),
        folder,
        SPINENET_HOME=str(folder / "home"),
        SPINENET_WEIGHTS_URL=published,
        DASK_PORT=dask,
        PREFECT_PORT=str(free_port()),
    )
    for number, body in enumerate(blocks("python")):
        script = folder / f"block{number}.py"
        script.write_text(body, encoding="utf-8")
        run(f". .venv/bin/activate; python {script.name}", folder)
