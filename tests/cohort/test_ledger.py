"""Plans, staged parts, commit records and checkpoints, on a disk and on an object store."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import ClassVar

import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from spinenet.cohort import freeze as freezing
from spinenet.cohort.checkpoints import Detections, detection_key, load_detections, save_detections
from spinenet.cohort.finalise import DamagedParts, count_states, finalise
from spinenet.cohort.freeze import freeze
from spinenet.cohort.layout import COMMITS, DETECTIONS, RUN_FILE, STAGED
from spinenet.cohort.ledger import Commit, Ledger, Part
from spinenet.cohort.manifests.manifest import Entry
from spinenet.cohort.plan import load_plan
from spinenet.cohort.tables import TABLES, to_table
from spinenet.errors import RunError, StorageError
from spinenet.storage import Store
from spinenet.types import Vertebra
from support.run_without_models import CONDITIONS, do_shard, manifest_of

RECORD = f"{COMMITS}/00001-00.json"


class TakesBoth(MemoryFileSystem):  # type: ignore[misc]
    """An object store that knows no create-only writes and says nothing of it, as some do."""

    protocol = "takesboth"
    store: ClassVar[dict[str, object]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: object) -> None:
        """Write, whatever is there."""
        super().pipe_file(path, value, mode="overwrite", **kwargs)


def ledger_of(store: Store, n_rows: int = 5, shard_size: int = 2) -> Ledger:
    return Ledger(store, freeze(store, manifest_of(n_rows), CONDITIONS, shard_size=shard_size, about={}))


def stage(ledger: Ledger, index: int, detail: str = "") -> dict[str, Part]:
    shard = ledger.plan.shard(index)
    rows = [{"scan_id": e.scan_id, "status": "done", "detail": detail} for e in shard.entries]
    empty = {name: to_table(name, []) for name in ("vertebrae", "grades")}
    return ledger.stage(index, {"scans": to_table("scans", rows, shard.carried), **empty})


def test_shards_cover_the_manifest_in_order(store: Store) -> None:
    plan = ledger_of(store).plan
    assert (plan.n_rows, plan.n_shards) == (5, 3)
    assert [plan.rows_of(i) for i in range(3)] == [2, 2, 1]
    told = [entry.scan_id for i in range(3) for entry in plan.shard(i).entries]
    assert told == [f"s{i}" for i in range(5)] == [i for s in range(3) for i in plan.scan_ids(s).to_pylist()]
    assert [field.name for field in plan.carried] == ["age"]
    assert plan.shard(2).carried.to_pylist() == [{"age": 4}]


def test_a_plan_is_frozen(store: Store) -> None:
    assert load_plan(store) is None
    first = ledger_of(store).plan
    record = store.read(RUN_FILE)
    again = ledger_of(store, shard_size=4).plan
    assert again.shard_size == 2
    assert again.table.equals(first.table)
    assert store.read(RUN_FILE) == record


def test_two_starters_agree_on_one_plan(tmp_path: Path) -> None:
    store, barrier = Store.at(str(tmp_path / "out")), Barrier(4)

    def start(shard_size: int) -> int:
        barrier.wait(timeout=30)
        return ledger_of(store, shard_size=shard_size).plan.shard_size

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(start, [1, 2, 3, 4]))) == 1


def test_a_shard_of_none_is_refused(store: Store) -> None:
    store.write("other", b"")
    with pytest.raises(RunError, match="a shard of 0 scans"):
        ledger_of(store, shard_size=0)
    assert not store.exists(RUN_FILE)


@pytest.mark.parametrize("damage", [b"", b"{", b'{"format_version": 99}'])
def test_a_damaged_or_foreign_run_file_is_refused(store: Store, damage: bytes) -> None:
    store.write(RUN_FILE, damage)
    with pytest.raises(RunError, match=r"damaged|another version"):
        ledger_of(store)
    assert store.read(RUN_FILE) == damage


def test_a_damaged_plan_is_refused(store: Store) -> None:
    ledger_of(store)
    file = json.loads(store.read(RUN_FILE))["plan"]["file"]
    store.write(file, store.read(file) + b"?")
    with pytest.raises(RunError, match="absent or damaged"):
        load_plan(store)


def test_parts_do_not_count_before_their_commit(store: Store) -> None:
    ledger = ledger_of(store)
    assert ledger.commits() == {}
    parts = stage(ledger, 1)
    assert set(parts) == set(TABLES)
    assert ledger.unfinished(ledger.commits()) == [0, 1, 2]
    commit = Commit(1, 0, parts, {"done": 2}, {"detect": {"worker-0": 2}})
    assert ledger.commit(commit)
    assert ledger.commits() == {1: commit}
    assert ledger.unfinished(ledger.commits()) == [0, 2]


def test_the_later_of_two_workers_is_told_so(store: Store) -> None:
    ledger = ledger_of(store)
    commits = [Commit(0, 0, stage(ledger, 0, worker), {"done": 2}) for worker in ("one", "two")]
    assert [ledger.commit(commit) for commit in commits] == [True, False]
    assert ledger.commit(commits[0]), "the winner's own retry is no loss"
    assert ledger.commits() == {0: commits[0]}
    part = ledger.read_parts("scans", [commits[0]])[0]
    assert part is not None
    assert part["detail"].to_pylist() == ["one", "one"]


def test_the_highest_generation_counts(store: Store) -> None:
    ledger = ledger_of(store)
    commits = [Commit(0, g, stage(ledger, 0, str(g)), {"done": 2}) for g in (0, 11, 2)]
    assert all(map(ledger.commit, commits))
    assert ledger.commits()[0].generation == 11
    assert len(store.sizes(COMMITS)) == 3


@pytest.mark.parametrize("left", [b"", b'{"shard": 0, "gen'])
def test_a_record_cut_short_uses_up_its_generation_only(store: Store, left: bytes) -> None:
    ledger = ledger_of(store)
    for index in range(3):
        assert ledger.commit(Commit(index, 0, stage(ledger, index), {"done": ledger.plan.rows_of(index)}))
    store.write(f"{COMMITS}/00001-00.json", left)
    found = ledger.commits()
    assert found[1] == Commit(1, 0, {}, {})
    assert ledger.unfinished(found) == [1]
    assert sorted(ledger.read_parts("scans", found.values())) == [0, 2]
    assert ledger.commit(Commit(1, found[1].generation + 1, stage(ledger, 1), {"done": 2}))
    assert ledger.unfinished(ledger.commits()) == []


@pytest.mark.parametrize("damage", ["absent", "longer", "same size"])
def test_damaged_parts_are_not_returned(store: Store, damage: str) -> None:
    ledger = ledger_of(store)
    for index in range(3):
        assert ledger.commit(Commit(index, 0, stage(ledger, index), {"done": ledger.plan.rows_of(index)}))
    name = f"{STAGED}/{ledger.commits()[1].parts['scans'].file}"
    data = store.read(name)
    if damage == "absent":
        store.remove([name])
    else:
        store.write(name, data + b"?" if damage == "longer" else b"?" + data[1:])
    read = ledger.read_parts("scans", ledger.commits().values())
    assert [shard for shard, part in read.items() if part is None] == [1]
    # The listing alone shows all but a change that keeps the size; the digest is for that one.
    assert ledger.unfinished(ledger.commits()) == ([] if damage == "same size" else [1])


def test_states_add_up_in_a_fixed_order() -> None:
    commits = [
        Commit(0, 0, {}, {"not_mr": 1, "done": 2}),
        Commit(1, 0, {}, {"excluded": 1, "bad_pixels": 1, "not_mr": 1}),
    ]
    states = count_states(commits)
    assert list(states.items()) == [("done", 2), ("excluded", 1), ("bad_pixels", 1), ("not_mr", 2)]


def test_checkpoints_come_back_whole_or_not_at_all(store: Store) -> None:
    quads = np.arange(16, dtype=np.float64).reshape(2, 4, 2) / 3
    found = {"s0": Detections("a" * 64, (Vertebra((3, 4), quads),)), "s1": Detections("b" * 64, ())}
    save_detections(store, 7, "k" * 64, found)
    files = list(store.sizes(DETECTIONS))
    read = load_detections(store, files, 7, "k" * 64)
    assert list(read) == ["s0", "s1"]
    assert read["s0"].input_fingerprint == "a" * 64
    assert read["s0"].vertebrae[0].slices == (3, 4)
    np.testing.assert_array_equal(read["s0"].vertebrae[0].quads, quads)
    assert read["s1"].vertebrae == ()
    assert load_detections(store, files, 8, "k" * 64) == {}
    assert load_detections(store, files, 7, "j" * 64) == {}
    store.write(f"{DETECTIONS}/{files[0]}", store.read(f"{DETECTIONS}/{files[0]}")[:-1])
    assert load_detections(store, files, 7, "k" * 64) == {}
    store.remove([f"{DETECTIONS}/{files[0]}"])
    assert load_detections(store, files, 7, "k" * 64) == {}


def test_checkpoints_are_for_their_inputs_only() -> None:
    rows = [Entry("a", "/x"), Entry("b", "/y", series_uid="1.2")]
    key = detection_key("d", {"batch_size": 8}, rows)
    assert key == detection_key("d", {"batch_size": 8}, list(rows))
    others = [
        detection_key("e", {"batch_size": 8}, rows),
        detection_key("d", {"batch_size": 4}, rows),
        detection_key("d", {"batch_size": 8}, rows[:1]),
        detection_key("d", {"batch_size": 8}, [rows[0], Entry("b", "/y", series_uid="1.3")]),
    ]
    assert len({key, *others}) == 5


@pytest.mark.parametrize("damage", ["one digit", "another shard's", "of no plan", "no record", "a list"])
def test_a_wrong_record_is_made_again_as_the_next_generation(store: Store, damage: str) -> None:
    ledger = ledger_of(store)
    for index in range(3):
        assert do_shard(ledger, index, "me")
    whole = store.read(RECORD)
    wrong = {
        "one digit": whole.replace(b'"done": 2', b'"done": 3'),
        "another shard's": store.read(f"{COMMITS}/00000-00.json"),
        "of no plan": whole.replace(b'"states"', b'"state"'),
        "no record": b"{}",
        "a list": b"[1]",
    }[damage]
    assert wrong != whole
    store.write(RECORD, wrong)
    found = ledger.commits()
    assert found[1] == Commit(1, 0, {}, {})
    assert ledger.unfinished(found) == [1]
    with pytest.raises(DamagedParts):
        finalise(ledger)
    assert do_shard(ledger, 1, "me", generation=1)
    assert finalise(ledger) == {"done": 5, "excluded": 0}


def test_files_that_are_no_records_are_left_alone(store: Store) -> None:
    ledger = ledger_of(store)
    assert do_shard(ledger, 0, "me")
    store.write(f"{COMMITS}/readme.txt", b"hello")
    assert list(ledger.commits()) == [0]


def test_a_corrupt_checkpoint_is_made_again(store: Store) -> None:
    found = {"s0": Detections("a" * 64, (Vertebra((3,), np.arange(8, dtype=np.float64).reshape(1, 4, 2)),))}
    save_detections(store, 0, "k" * 64, found)
    (name,) = store.sizes(DETECTIONS)
    whole = store.read(f"{DETECTIONS}/{name}")
    store.write(f"{DETECTIONS}/{name}", whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    assert load_detections(store, [name], 0, "k" * 64) == {}
    save_detections(store, 0, "k" * 64, found)
    assert list(store.sizes(DETECTIONS)) == [name], "the name tells the content"
    assert store.read(f"{DETECTIONS}/{name}") == whole
    assert list(load_detections(store, [name], 0, "k" * 64)) == ["s0"]


def test_a_store_without_create_only_writes_is_told_once_a_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(freezing, "SETTLE_S", 0.01)
    store = Store(TakesBoth(), "/out")
    assert not store.honours_create()
    assert store.fs.find("/out") == []
    for generation in range(2):
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="spinenet"):
            ledger = ledger_of(store)
        (said,) = [record.getMessage() for record in caplog.records]
        assert said.startswith("takesboth:///out does not honour create-only writes: let no second run")
        assert not ledger.plan.create_only
        commits = [Commit(0, generation, stage(ledger, 0, by), {"done": 2}) for by in ("one", "two")]
        assert [ledger.commit(commit) for commit in commits] == [True, False], "what is there is looked at"
        assert ledger.commits()[0] == commits[0]


def test_addresses_are_told_without_secrets() -> None:
    pytest.importorskip("aiohttp", reason="HTTP needs it, which comes with the extra s3")
    http = Store(Store.at("http://127.0.0.1:1/out").fs, "http://me:hush@127.0.0.1:1/out?sig=hush")
    http.retries.first_budget_s = 0.1
    assert http.url("a") == "http://***@127.0.0.1:1/out?sig=***"
    with pytest.raises(StorageError) as caught:
        http.read("a")
    assert "hush" not in str(caught.value)
    with pytest.raises(
        StorageError, match=r"http://\*\*\*@127.0.0.1:1/out\?sig=\*\*\* holds a password"
    ) as caught:
        Store.at("http://me:hush@127.0.0.1:1/out?sig=hush")
    assert "hush" not in str(caught.value)
