"""A run in pieces by the real commands, without Prefect and Dask: the tables are those of a run."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from support.cohorts import assert_same_tables, command, small_scan, spinenet, write

N_SCANS, SHARD_SIZE = 7, 1


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scans, one that is not there, and one that is excluded."""
    folder = tmp_path_factory.mktemp("pieces")
    lines = ["scan_id,path,exclude,site", "gone,gone,,york", "left-out,s0,motion,leeds"]
    for i in range(N_SCANS - 2):
        write(folder / f"s{i}", small_scan(i), f"s{i}")
        lines.append(f"s{i},s{i},,leeds")
    manifest = folder / "manifest.csv"
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return manifest


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """An environment in which neither Prefect nor Dask can be imported."""
    hidden = tmp_path_factory.mktemp("hidden")
    for name in ("prefect", "dask", "distributed"):
        text = f"raise ImportError('{name} is hidden')\n"
        (hidden / f"{name}.py").write_text(text, encoding="utf-8")
    path = os.pathsep.join([str(hidden), *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | {"PYTHONPATH": path}


def piece(
    environment: Mapping[str, str], *arguments: str | Path, **more: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        env={**environment, **more},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


@pytest.mark.timeout(1200)
def test_an_array_of_processes_makes_the_tables_of_a_run(
    manifest: Path, alone: Mapping[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    planned = piece(alone, "plan", manifest, out, "--weights", "synthetic", "--shard-size", str(SHARD_SIZE))
    assert planned.returncode == 0, planned.stderr
    assert f"{N_SCANS} scans in {N_SCANS} shards, numbered 0 to {N_SCANS - 1}, are planned" in planned.stdout
    parts = [
        subprocess.Popen(
            command("shard", out, f"{number}/3", "--processes", "1"),
            env=alone,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    # one is killed once it has begun its work, with all that it started
    commits = out / "_run" / "commits"
    deadline = time.monotonic() + 300
    while not list(commits.glob("00001-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    parts[1].send_signal(signal.SIGKILL)
    ends = [part.communicate(timeout=400) for part in parts]
    assert [part.returncode for part in parts] == [0, -signal.SIGKILL, 0], ends
    refused = piece(alone, "finalise", out, "--of", "3")
    assert refused.returncode == 1
    assert refused.stderr.strip().endswith(f"with `spinenet shard {out} auto --of 3` in: sbatch --array=1")
    array = {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "1"}
    repeated = piece(alone, "shard", out, "auto", "--of", "3", **array)
    assert repeated.returncode == 0, repeated.stderr
    written = piece(alone, "finalise", out)
    assert written.returncode == 3, written.stderr
    assert f"{N_SCANS} scans: {N_SCANS - 2} done, 1 excluded, 1 path_missing. Tables in" in written.stdout
    run = spinenet("run", manifest, tmp_path / "run", "--weights", "synthetic", "--shard-size", "2")
    assert run.returncode == 3, run.stderr
    assert_same_tables(tmp_path / "run", out)
    # and one goes on where the other was: nothing is left to do
    again = spinenet("run", manifest, out, "--weights", "synthetic")
    assert again.returncode == 3, again.stderr
    assert_same_tables(tmp_path / "run", out)


def test_bad_parts_are_one_sentence(manifest: Path, alone: Mapping[str, str], tmp_path: Path) -> None:
    for arguments, status, sentence in (
        (("shard", tmp_path / "none", "0/2"), 1, "there is no run in"),
        (("finalise", tmp_path / "none"), 1, "there is no run in"),
        (("shard", tmp_path / "none", "2/2"), 2, "there is no part 2 of 2"),
    ):
        ended = piece(alone, *arguments)
        assert (ended.returncode, ended.stdout) == (status, "")
        assert sentence in ended.stderr
        assert len(ended.stderr.strip().splitlines()) == 1
        assert not (tmp_path / "none").exists()
