"""The command's surface: help without heavy imports, version, --debug in any place, completion."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from cohorts import command, spinenet

from flows.cli.app import debug_first

HEAVY = (
    "torch", "dask", "distributed", "prefect", "fastapi", "pandas", "pyarrow", "numpy", "scipy", "cv2",
    "skimage", "shapely", "pydicom", "fsspec", "requests", "rich.progress", "asyncio",
)  # fmt: skip
"""Packages of which one alone costs more than the help itself."""


def loaded(*arguments: str, **variables: str) -> set[str]:
    """The heavy packages that the command has imported when it ends."""
    code = (
        "import sys\nfrom flows.cli import main\n"
        f"sys.argv = ['spinenet', *{arguments!r}]\n"
        "try:\n    main()\nfinally:\n"
        f"    print('LOADED', *[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=False, env={**os.environ, **variables}, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout
    return set(done.stderr.rpartition("LOADED")[2].split())


@pytest.mark.parametrize(
    "arguments",
    ["--help", "--version", "run --help", "index --help", "check --help", "status --help", "demo --help",
     "weights --help", "weights fetch --help"],
)  # fmt: skip
def test_help_imports_nothing_heavy(arguments: str) -> None:
    assert loaded(*arguments.split()) == set()


def test_completion_names_commands_and_options_and_imports_nothing_heavy() -> None:
    asked = {"_SPINENET_COMPLETE": "complete_bash", "COMP_WORDS": "spinenet ru", "COMP_CWORD": "1"}
    assert loaded(**asked) == set()
    for words, count, wanted in (("spinenet ru", "1", "run"), ("spinenet run --shard", "2", "--shard-size")):
        variables = {**asked, "COMP_WORDS": words, "COMP_CWORD": count}
        done = subprocess.run(
            command(), capture_output=True, text=True, env={**os.environ, **variables}, check=False
        )
        assert wanted in done.stdout.split(), done


def test_version_is_the_distributions() -> None:
    done = spinenet("--version")
    assert done.returncode == 0
    (owner,) = set(metadata.packages_distributions()["flows"])
    assert done.stdout.split()[:2] == ["spinenet", metadata.version(owner)]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (["run", "m", "o"], ["run", "m", "o"]),
        (["--debug", "run", "m", "o"], ["--debug", "run", "m", "o"]),
        (["run", "--debug", "m", "o"], ["--debug", "run", "m", "o"]),
        (["run", "m", "o", "--debug"], ["--debug", "run", "m", "o"]),
        (["run", "--debug", "m", "--debug"], ["--debug", "run", "m"]),
        (["run", "--", "m", "--debug"], ["run", "--", "m", "--debug"]),
        ([], []),
    ],
)
def test_debug_stands_anywhere(given: list[str], wanted: list[str]) -> None:
    assert debug_first(given) == wanted


def test_traceback_only_with_debug(tmp_path: Path) -> None:
    missing = tmp_path / "missing.csv"
    plain = spinenet("check", missing, "--weights", "synthetic")
    shown = spinenet("check", missing, "--weights", "synthetic", "--debug")
    assert plain.returncode == 2
    assert "Traceback" not in plain.stderr
    assert "Traceback" in shown.stderr
