"""Where a machine cannot start workers, one sentence says what it lacks."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from flows.clusters.surroundings import check_surroundings
from spinenet.errors import RunError
from support.cohorts import command

AS_ROOT = shutil.which("unshare") is not None and hasattr(os, "geteuid") and os.geteuid() == 0


def may_mount() -> bool:
    return AS_ROOT and subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not may_mount(), reason="needs the right to mount")
@pytest.mark.parametrize(
    ("mount", "why"),
    [
        ("mount -t tmpfs -o ro none /dev/shm", "Read-only file system"),
        (
            "mount -t tmpfs -o size=4k none /dev/shm && head -c 4096 /dev/zero > /dev/shm/full",
            "No space left",
        ),
    ],
)
def test_shared_memory_that_cannot_be_used_is_named(tmp_path: Path, mount: str, why: str) -> None:
    (tmp_path / "m.csv").write_text("scan_id,path\n1,nowhere\n", encoding="utf-8")
    run = " ".join(command("run", "m.csv", "out", "--weights", "synthetic", "--no-prefect"))
    ended = subprocess.run(
        ["unshare", "-m", "bash", "-c", f"{mount} && exec {run}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("spinenet: local workers need semaphores, which cannot be made in /dev/shm")
    assert why in last
    assert "Traceback" not in ended.stderr


def test_a_machine_without_a_temporary_folder_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc", "/absent"])
    with pytest.raises(RunError, match="set TMPDIR"):
        check_surroundings(2)
