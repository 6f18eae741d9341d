"""An index that is killed or stopped is gone on with, and ends as one that was not."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from cohorts import small_scan, spinenet, write

from spinenet.cohort.manifest import read_manifest
from spinenet.errors import ManifestError
from spinenet.index.catalogue import places_name
from spinenet.index.unfinished import unfinished_name

FOLDERS = 16

STOPPED = """
import os, sys
import flows.index
from flows.cli import main
from spinenet.index import unfinished

flows.index.FILES_PER_TASK = 1
flows.index.BATCHES_AHEAD = 1
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


def stopped(number: int, after: int, root: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, which is that signal."""
    arguments = [str(number), str(after), "index", str(root), "-o", str(out)]
    return subprocess.run(
        [sys.executable, "-c", STOPPED, *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def test_what_was_found_before_a_stop_is_not_read_again(tmp_path: Path) -> None:
    root, out = tmp_path / "root", tmp_path / "out" / "m.parquet"
    scan = small_scan(0)
    for folder in range(FOLDERS):
        files = write(root / f"subject-{folder:02d}", scan, f"s{folder}")
    # a series in two pieces, of which one is found before the stop
    (root / "subject-99").mkdir()
    for file in files[: len(files) // 2]:
        file.rename(root / "subject-99" / file.name)

    killed = stopped(signal.SIGKILL, 4, root, out)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [file.name for file in out.parent.iterdir()] == [unfinished_name(out.name)]
    with pytest.raises(ManifestError):
        read_manifest(str(out.with_name(unfinished_name(out.name))))

    interrupted = stopped(signal.SIGINT, 5, root, out)
    assert interrupted.returncode == 1, interrupted.stderr
    assert "spinenet: stopped; start it again" in interrupted.stderr
    assert [file.name for file in out.parent.iterdir()] == [unfinished_name(out.name)]

    ended = spinenet("index", root, "-o", out, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert {file.name for file in out.parent.iterdir()} == {out.name, places_name(out.name)}
    account = pd.read_parquet(out.with_name(places_name(out.name)))
    read = account.loc[account["bytes_read"] > 0, "place"]
    assert len(account) == FOLDERS + 1
    assert 0 < len(read) <= FOLDERS + 1 - 9

    fresh = tmp_path / "fresh" / "m.parquet"
    assert spinenet("index", root, "-o", fresh, timeout=120).returncode == 0
    pd.testing.assert_frame_equal(pd.read_parquet(out), pd.read_parquet(fresh), check_exact=True)
    assert pd.read_parquet(out)["purpose"].eq("grading").sum() == FOLDERS
