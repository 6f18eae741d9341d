"""Files appear whole or not at all, and a create-only write has one winner, whoever races or dies."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spinenet.errors import StorageError
from spinenet.storage import Store, digest
from support.races import assert_one_winner

SIZE = 1_000_000

WRITER = """
import sys
from spinenet.storage import Store
store, size = Store.at(sys.argv[1]), int(sys.argv[2])
while True:
    for byte in b"xy":
        store.write("part", bytes([byte]) * size)
"""

RACER = """
import sys, time
from pathlib import Path
from spinenet.storage import Store
store, me = Store.at(sys.argv[1]), sys.argv[2]
store.write(f"ready/{me}", b"")
while not Path(sys.argv[1], "go").exists():
    time.sleep(0.001)
print([store.create(f"commits/{race}", me.encode()) for race in range(20)])
"""


def test_what_is_written_is_read(store: Store) -> None:
    store.write("a/b/one", b"1")
    store.write("a/b/one", b"11")
    store.write("a/b/two", b"")
    assert store.read("a/b/one") == b"11"
    assert store.exists("a/b/one")
    assert not store.exists("a/b")
    assert store.sizes("a/b") == {"one": 2, "two": 0}
    assert store.read_many(["a/b/one", "a/b/none", "a/b/two"]) == {"a/b/one": b"11", "a/b/two": b""}


def test_what_is_absent_is_no_accident(store: Store) -> None:
    assert store.sizes("a") == {}
    assert store.read_many([]) == {}
    assert store.read_many(["a/none"]) == {}
    assert not store.exists("a/none")
    store.remove(["a/none"])
    with pytest.raises(FileNotFoundError):
        store.read("a/none")


def test_removed_files_are_gone(store: Store) -> None:
    store.write("a/one", b"1")
    store.write("a/two", b"2")
    store.remove(["a/one", "a/none"])
    assert store.sizes("a") == {"two": 1}


def test_create_keeps_the_first_content(store: Store) -> None:
    assert store.create("a/record", b"first")
    assert store.create("a/record", b"first"), "a retry meets its own file"
    assert not store.create("a/record", b"second")
    assert store.read("a/record") == b"first"
    assert store.sizes("a") == {"record": 5}


def test_urls_open_again(store: Store) -> None:
    store.write("a/one", b"1")
    options = store.fs.storage_options
    assert Store.at(store.url(), options).read("a/one") == b"1"
    assert Store.at(store.url("a"), options).read("one") == b"1"


def test_unfinished_files_are_not_listed(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    store.write("a/one", b"1")
    (tmp_path / "a" / ".two.0.tmp").write_bytes(b"partial")
    assert store.sizes("a") == {"one": 1}


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(StorageError, match="nosuch"):
        Store.at("nosuch://folder")


def test_refusals_of_the_disk_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match=r"cannot write .*file/part"):
        Store.at(str(tmp_path / "file")).write("part", b"1")


def test_a_failed_write_leaves_the_old_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.at(str(tmp_path))
    store.write("part", b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        store.write("part", b"new")
    with pytest.raises(StorageError, match="No space left"):
        store.create("record", b"new")
    monkeypatch.undo()
    assert [file.name for file in tmp_path.iterdir()] == ["part"]
    assert store.read("part") == b"old"


def test_create_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    store = Store.at(str(tmp_path))
    assert store.create("record", b"first")
    assert not store.create("record", b"second")
    assert [file.name for file in tmp_path.iterdir()] == ["record"]
    assert store.read("record") == b"first"


def test_one_winner_among_threads(tmp_path: Path) -> None:
    assert_one_winner(Store.at(str(tmp_path)), n_threads=8, n_races=20)
    assert len(list((tmp_path / "commits").iterdir())) == 20


def test_one_winner_among_processes(tmp_path: Path) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(tmp_path), str(me)], stdout=subprocess.PIPE, text=True
        )
        for me in range(4)
    ]
    try:
        store, give_up = Store.at(str(tmp_path)), time.monotonic() + 60
        while len(store.sizes("ready")) < len(racers):
            assert time.monotonic() < give_up, "a racer did not start"
            time.sleep(0.01)
        store.write("go", b"")
        said = [racer.communicate(timeout=60)[0] for racer in racers]
    finally:
        for racer in racers:
            racer.kill()
            racer.communicate()
    won = [[word == "True" for word in line.strip(" []\n").split(", ")] for line in said]
    for race, claims in enumerate(zip(*won, strict=True)):
        assert sum(claims) == 1
        assert store.read(f"commits/{race}") == str(claims.index(True)).encode()


def test_a_killed_writer_leaves_no_partial_file(tmp_path: Path) -> None:
    whole = {digest(byte * SIZE) for byte in (b"x", b"y")}
    store, moments = Store.at(str(tmp_path)), random.Random(0)
    for _ in range(5):
        store.remove(["part"])
        with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(SIZE)]) as writer:
            try:
                give_up = time.monotonic() + 60
                while not store.exists("part"):
                    assert writer.poll() is None
                    assert time.monotonic() < give_up, "the writer did not start"
                time.sleep(moments.uniform(0, 0.05))
            finally:
                writer.kill()
        assert digest(store.read("part")) in whole
        assert store.sizes("") == {"part": SIZE}


def test_a_file_where_a_folder_should_be_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    for place in ("file", "file/out"):
        with pytest.raises(StorageError, match="name a folder"):
            Store.at(str(tmp_path / place)).read("_run/run.json")
