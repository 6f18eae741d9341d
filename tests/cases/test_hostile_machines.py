"""The real command on machines that lack something, or have too much of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from support.cases import Case
from support.drawn_series import drawn_series, save_series

HERE = Path(__file__).resolve().parents[2]
NOWHERE = "http://127.0.0.1:9"
"""An address that nobody answers at."""

PROXIES = {"HTTP_PROXY": NOWHERE, "http_proxy": NOWHERE}
READ_ONLY = ("unshare", "-m", "bash", "-c", 'mount -t tmpfs -o ro none /dev/shm && exec "$@"', "bash")


def may_mount() -> bool:
    """Whether this process may mount something that others do not see."""
    if shutil.which("unshare") is None or not hasattr(os, "geteuid") or os.geteuid() != 0:
        return False
    return subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0


def ran(within: tuple[str, ...] = (), variables: Mapping[str, str] | None = None) -> Callable[[Path], str]:
    """What a run of two scans without a vertebra ends with."""

    def outcome(folder: Path) -> str:
        for name in ("s1", "s2"):
            save_series(folder / name, drawn_series(f"1.2.3.{name[1]}"))
        (folder / "m.csv").write_text("scan_id,path\n1,s1\n2,s2\n", encoding="utf-8")
        clean = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"}
        paths = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))
        ended = subprocess.run(
            [*within, sys.executable, "-m", "flows.cli", "run", "m.csv", "out", "--weights", "synthetic"],
            cwd=folder,
            env=clean | {"PYTHONPATH": paths} | dict(variables or {}),
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        if ended.returncode == 1:
            why = ended.stderr.strip().splitlines()[-1].removeprefix("spinenet: ")
            return f"1: {why.partition('; make it')[0]}"
        said = ended.stdout.strip().splitlines()[-1].partition(". Tables")[0]
        return f"{ended.returncode}: {said}" + ("; no Prefect" if "without it" in ended.stderr else "")

    return outcome


CASES = (
    Case(
        "HTTP_PROXY set, NO_PROXY not",
        "1: the temporary Prefect server did not start",
        "3: 2 scans: 2 no_vertebrae",
        ran(variables=PROXIES),
    ),
    Case(
        "/dev/shm cannot be written",
        "1: RuntimeError: Nanny failed to start",
        "1: local workers need semaphores, which cannot be made in /dev/shm (Read-only file system)",
        ran(within=READ_ONLY),
        possible=may_mount,
    ),
)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_hostile_machine(case: Case, tmp_path: Path) -> None:
    if not case.possible():
        pytest.skip("needs the right to mount")
    assert case.outcome(tmp_path) == case.right
