"""Disks that are full, that have no links, and that killed writers left untidy."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from spinenet.cohort.finalise import final_states, finalise
from spinenet.errors import RunError, StorageError
from spinenet.storage import Store
from spinenet.storage.disk import write_together
from support.mounts import mounted
from support.run_without_models import begin, do_shard

N_ROWS, SHARD_SIZE = 24, 4

LIMITED = """
import resource, sys
sys.path.insert(0, sys.argv[2])
from support.run_without_models import begin, do_shard
from spinenet.errors import StorageError
from spinenet.storage import Store
ledger = begin(Store.at(sys.argv[1]), 24, 4)
do_shard(ledger, 0, "me")
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    do_shard(ledger, 1, "me")
except StorageError as error:
    sys.stdout.write(str(error))
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 1 MiB."""
    with mounted(tmp_path / "disk", "size=1m") as disk:
        yield disk


def files_of(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def finished(store: Store) -> None:
    """Go on and finalise, and see that everything is there."""
    ledger = begin(store, N_ROWS, SHARD_SIZE)
    for index in ledger.unfinished(ledger.commits()):
        assert do_shard(ledger, index, "me")
    assert finalise(ledger) == {"done": N_ROWS, "excluded": 0}
    assert final_states(store, ledger.plan) == {"done": N_ROWS, "excluded": 0}


def test_a_full_disk_is_told_and_a_run_goes_on_when_there_is_room(small_disk: Path) -> None:
    out = small_disk / "out"
    store, filler = Store.at(str(out)), small_disk / "filler"
    ledger = begin(store, N_ROWS, SHARD_SIZE)
    assert do_shard(ledger, 0, "me")
    before = files_of(out)
    with filler.open("wb") as file:
        free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
        file.write(bytes(free))
    with pytest.raises(StorageError, match=r"cannot write .*No space left on device; make room"):
        do_shard(ledger, 1, "me")
    with pytest.raises(StorageError, match="No space left"):
        store.create("_run/commits/00001-00.json", b"x" * 5000)
    assert files_of(out) == before
    filler.unlink()
    finished(store)


def test_a_full_temporary_folder_is_told_and_tables_are_made_when_there_is_room(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    store = Store.at(str(out))
    ledger = begin(store, N_ROWS, SHARD_SIZE)
    for index in range(ledger.plan.n_shards):
        assert do_shard(ledger, index, "me")
    before = files_of(out)
    (small_disk / "filler").write_bytes(bytes((1 << 20) - 4096))
    with monkeypatch.context() as patched:
        patched.setattr(tempfile, "tempdir", str(small_disk))
        with pytest.raises(RunError, match=rf"in {small_disk}: No space left on device; make room there"):
            finalise(ledger)
    assert files_of(out) == before
    assert files_of(small_disk) == {"filler"}
    finished(store)


def test_files_that_belong_together_appear_when_all_are_written(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "below" / "second"
    write_together({first: b"old", second: b"old"})

    def refuse(path: Path) -> None:
        path.write_bytes(b"half of it")
        assert first.read_bytes() == b"old", "nothing is in place before all is written"
        raise OSError("no room for the rest")

    with pytest.raises(OSError, match="no room"):
        write_together({first: b"new", second: refuse})
    assert (first.read_bytes(), second.read_bytes()) == (b"old", b"old")
    write_together({first: second, second: lambda path: path.write_bytes(b"new")})
    assert (first.read_bytes(), second.read_bytes()) == (b"old", b"new")
    assert files_of(tmp_path) == {"first", "below/second"}


def test_a_file_that_may_not_grow_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    folder = str(Path(__file__).parents[1])
    child = subprocess.run(
        [sys.executable, "-c", LIMITED, tmp_path, folder],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "File too large; make room" in child.stdout
    assert not [name for name in files_of(tmp_path) if name.endswith(".tmp")]
    assert len([name for name in files_of(tmp_path) if name.startswith("_run/staged")]) == 3
    finished(Store.at(str(tmp_path)))


def test_what_killed_writers_left_is_swept_when_it_is_old(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path / "out"))
    ledger = begin(store, N_ROWS, SHARD_SIZE)
    for index in range(ledger.plan.n_shards):
        do_shard(ledger, index, "me")
    staged = tmp_path / "out" / "_run" / "staged"
    old = staged / f".scans-00000-0.parquet.{uuid.uuid4().hex}.tmp"
    young = staged / f".scans-00001-0.parquet.{uuid.uuid4().hex}.tmp"
    others = [staged / ".mine.tmp", tmp_path / f".a.{uuid.uuid4().hex}.tmp", staged / "kept.tmp"]
    for file in (old, young, *others):
        file.write_bytes(b"partial")
    for file in (old, *others):
        os.utime(file, (time.time() - 7200,) * 2)
    finalise(ledger)
    assert not old.exists()
    assert young.exists()
    assert all(file.exists() for file in others)


def test_a_kill_between_name_and_content_costs_one_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk without hard links, where a commit record may be cut short."""
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "no links here")))
    store = Store.at(str(tmp_path))
    ledger = begin(store, N_ROWS, SHARD_SIZE)
    for index in range(ledger.plan.n_shards):
        assert do_shard(ledger, index, "me")
    record = tmp_path / "_run" / "commits" / "00002-00.json"
    record.write_bytes(record.read_bytes()[:40])
    again = begin(store, N_ROWS, SHARD_SIZE)
    assert again.unfinished(again.commits()) == [2]
    assert do_shard(again, 2, "me", generation=again.commits()[2].generation + 1)
    finalise(again)
    assert final_states(store, again.plan) == {"done": N_ROWS, "excluded": 0}
