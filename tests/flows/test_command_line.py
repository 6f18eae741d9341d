"""The command's surface: help without heavy imports, version, --debug in any place, completion."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli.app import debug_first
from spinenet import __version__
from support.cohorts import command, spinenet

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


def test_version() -> None:
    done = spinenet("--version")
    assert done.returncode == 0
    assert done.stdout.split()[:2] == ["spinenet", __version__]


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


class TestRefusedBeforeAnythingStarts:
    """Exit status 2, one sentence, nothing written, and no cluster or server: Prefect's home stays empty."""

    @pytest.fixture
    def manifest(self, tmp_path: Path) -> Path:
        file = tmp_path / "manifest.csv"
        file.write_text("scan_id,path\na,nowhere\n", encoding="utf-8")
        return file

    def refused(self, *arguments: str | Path, told: str, untouched: Path) -> None:
        before = sorted(untouched.rglob("*"))
        home = untouched / "prefect"
        done = subprocess.run(
            command(*arguments), capture_output=True, text=True, check=False, timeout=120,
            env={**os.environ, "PREFECT_HOME": str(home)},
        )  # fmt: skip
        assert done.returncode == 2, done.stderr
        (sentence,) = [line for line in done.stderr.splitlines() if " INFO " not in line]
        assert told in sentence
        assert sorted(untouched.rglob("*")) == before

    def test_out_that_is_a_file(self, manifest: Path, tmp_path: Path) -> None:
        (tmp_path / "out").write_text("mine", encoding="utf-8")
        arguments = ("run", manifest, tmp_path / "out", "--weights", "synthetic")
        self.refused(*arguments, told="is a file, not a folder", untouched=tmp_path)
        assert (tmp_path / "out").read_text(encoding="utf-8") == "mine"

    @pytest.mark.parametrize("cluster", ["slurmm", "tcp://host:notaport"])
    def test_cluster_that_is_none(self, manifest: Path, tmp_path: Path, cluster: str) -> None:
        arguments = ("run", manifest, tmp_path / "out", "--weights", "synthetic", "--cluster", cluster)
        self.refused(*arguments, told="tcp://HOST:PORT", untouched=tmp_path)

    def test_bad_manifest_makes_no_folder(self, tmp_path: Path) -> None:
        bad = tmp_path / "manifest.csv"
        bad.write_text("scan_id,place\na,b\n", encoding="utf-8")
        arguments = ("run", bad, tmp_path / "out", "--weights", "synthetic")
        self.refused(*arguments, told="has no column path", untouched=tmp_path)

    def test_index_to_a_file_below_a_file(self, manifest: Path, tmp_path: Path) -> None:
        arguments = ("index", tmp_path, "-o", manifest / "series.csv")
        self.refused(*arguments, told="is a file, not a folder", untouched=tmp_path)

    def test_demo_in_proc(self, tmp_path: Path) -> None:
        arguments = ("demo", "--subjects", "1", "--out", "/proc/spinenet")
        self.refused(*arguments, told="cannot write to /proc/spinenet", untouched=tmp_path)
