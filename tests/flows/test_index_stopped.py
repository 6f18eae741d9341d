"""An index that is killed or stopped is gone on with, and ends as one that was not."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from flows.index_run import index_root
from spinenet.cohort.manifests.manifest import read_manifest
from spinenet.errors import ManifestError
from spinenet.index.catalogue import places_name
from spinenet.index.unfinished import unfinished_name
from support.cohorts import small_scan, write

SCAN = small_scan(0)
FOLDERS = 16
SAVES = 4

STOPPED = """
import os, sys
import flows.headers
from flows.cli import main
from spinenet.index import unfinished

flows.headers.FILES_PER_TASK = 1
flows.headers.BATCHES_AHEAD = 1
unfinished.SECONDS_UNSAVED, unfinished._SHARE = 0.0, 1e9
number, after = int(sys.argv.pop(1)), int(sys.argv.pop(1))
saves = 0

def keep(*arguments, kept=unfinished.keep_unfinished):
    global saves
    kept(*arguments)
    saves += 1
    if saves == after:
        os.kill(os.getpid(), number)

unfinished.keep_unfinished = keep
main()
"""
"""The command itself, that signals itself once it has written down so often what it found."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A series in each of many folders, the last one's in two."""
    root = tmp_path_factory.mktemp("stopped") / "root"
    for folder in range(FOLDERS):
        files = write(root / f"subject-{folder:02d}", SCAN, f"s{folder}")
    (root / "subject-99").mkdir()
    # neither part is a stack of its own: two slices, and three with a gap
    for file in files[1:3]:
        file.rename(root / "subject-99" / file.name)
    return root


@pytest.mark.parametrize(
    ("number", "status", "said"),
    [
        (signal.SIGKILL, -signal.SIGKILL, ""),
        pytest.param(signal.SIGINT, 1, "spinenet: stopped; start it again", marks=pytest.mark.slow),
    ],
)
def test_what_was_found_before_a_stop_is_not_read_again(
    tmp_path: Path, root: Path, number: int, status: int, said: str
) -> None:
    out = tmp_path / "m.parquet"
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            STOPPED,
            str(int(number)),
            str(SAVES),
            "index",
            root,
            "-o",
            out,
            "--no-prefect",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == status, ended.stderr
    assert said in ended.stderr
    assert [file.name for file in tmp_path.iterdir()] == [unfinished_name(out.name)]
    with pytest.raises(ManifestError):
        read_manifest(str(tmp_path / unfinished_name(out.name)))

    summary = index_root(str(root), str(out), prefect=False)
    assert {file.name for file in tmp_path.iterdir()} == {out.name, places_name(out.name)}
    account = pd.read_parquet(tmp_path / places_name(out.name))
    assert len(account) == FOLDERS + 1
    kept = account.loc[account["bytes_read"] == 0, "n_files"]
    assert len(kept) >= SAVES
    assert summary.n_read == summary.n_files - kept.sum() > 0

    rows = pd.read_parquet(out)
    assert len(rows) == FOLDERS
    assert rows["purpose"].eq("grading").all(), rows[["path", "reason"]]
    assert rows["slices"].eq(SCAN.shape[2]).all()
    assert set(rows["path"]) == {str(root), *(f"{root}/subject-{n:02d}" for n in range(FOLDERS - 1))}
