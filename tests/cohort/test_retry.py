"""Failed rows that are read again: which ones, how often, and that nothing else of their shard changes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from spinenet.anatomy import REASONS
from spinenet.cohort.finalise import final_states, finalise
from spinenet.cohort.freeze import freeze
from spinenet.cohort.layout import STAGED
from spinenet.cohort.ledger import Commit, Ledger
from spinenet.cohort.results import read_results
from spinenet.cohort.retry import (
    AUTOMATIC_TRIES,
    Again,
    Retry,
    is_there,
    merged,
    parts_that_stay,
    rows_to_retry,
    tries_of,
)
from spinenet.cohort.status import read_status
from spinenet.cohort.tables import to_table
from spinenet.cohort.todo import what_is_left
from spinenet.errors import ReasonError
from spinenet.storage import Store
from support.run_without_models import CONDITIONS, manifest_of

FIRST = ("time_limit", None, "bad_pixels", "path_missing", None, "storage_failed", "not_mr", None)
"""Reasons of the rows of two shards; None is a row that is done."""
SHARD_SIZE = 4
EVERYTHING_THERE = lambda path: True  # noqa: E731


def begun(store: Store) -> Ledger:
    plan = freeze(store, manifest_of(len(FIRST)), CONDITIONS, shard_size=SHARD_SIZE, about={})
    return Ledger(store, plan)


def tables_of(ledger: Ledger, index: int, reasons: dict[str, str | None], by: str) -> dict[str, pa.Table]:
    """Rows of some of a shard's scans; one that is done has two vertebrae."""
    shard = ledger.plan.shard(index)
    places = {entry.scan_id: at for at, entry in enumerate(shard.entries)}
    scans = [
        {
            "scan_id": name,
            "path": name,
            "status": "failed" if reason else "done",
            "reason": reason,
            "detail": by,
        }
        for name, reason in reasons.items()
    ]
    bones = [
        {"scan_id": name, "level": level}
        for name, reason in reasons.items()
        if reason is None
        for level in ("L4", "L5")
    ]
    return {
        "scans": to_table("scans", scans, shard.carried.take([places[name] for name in reasons])),
        "vertebrae": to_table("vertebrae", bones),
        "grades": to_table("grades", []),
    }


def commit(
    ledger: Ledger, index: int, tables: dict[str, pa.Table], generation: int = 0, again: Again | None = None
) -> None:
    rows = tables["scans"].select(["scan_id", "status", "reason"]).to_pylist()
    states = Counter(str(row["reason"] or row["status"]) for row in rows)
    tries, given_up = tries_of(again, {r["scan_id"]: r["reason"] for r in rows if r["reason"]})
    parts = ledger.stage(index, tables)
    record = Commit(index, generation, parts, dict(states), tries=tries, given_up=given_up)
    assert ledger.commit(record)


def first_start(store: Store) -> Ledger:
    ledger = begun(store)
    for index in range(2):
        reasons = {f"s{i}": FIRST[i] for i in range(index * SHARD_SIZE, (index + 1) * SHARD_SIZE)}
        commit(ledger, index, tables_of(ledger, index, reasons, "first"))
    assert sum(finalise(ledger).values()) == len(FIRST)
    return ledger


def retried(ledger: Ledger, index: int, again: Again, reasons: dict[str, str | None]) -> None:
    """What a start does for a shard of which some rows are read again."""
    kept = parts_that_stay(ledger, again.commit)
    assert kept is not None
    new = tables_of(ledger, index, reasons, "again")
    order = ledger.plan.scan_ids(index)
    together = {name: merged(kept[name], new[name], list(reasons), order) for name in kept}
    commit(ledger, index, together, again.commit.generation + 1, again)


def chosen(ledger: Ledger, retry: Retry = Retry(), there: object = EVERYTHING_THERE) -> list[str]:  # noqa: B008
    found = rows_to_retry(ledger, ledger.commits().values(), retry, there)  # type: ignore[arg-type]
    return [name for again in found.values() for name in again.tries]


def test_only_rows_of_the_surroundings_are_read_again(store: Store) -> None:
    ledger = first_start(store)
    assert chosen(ledger) == ["s0", "s3", "s5"]
    assert chosen(ledger, there=lambda path: False) == ["s0", "s5"]
    assert chosen(ledger, Retry.of(["not_mr", "time_limit"])) == ["s0", "s6"]
    assert chosen(ledger, Retry.of_all()) == ["s0", "s2", "s3", "s5", "s6"]
    with pytest.raises(ReasonError, match=r"no reason 'brocken'; the reasons are path_missing, .*gpu_failed"):
        Retry.of(["time_limit", "brocken"])


def test_the_rest_of_the_shard_stays_and_nothing_is_counted_twice(store: Store) -> None:
    ledger = first_start(store)
    before = read_results(store.url()).scans if store.local else None
    todo = what_is_left(ledger, Retry.of(["time_limit", "path_missing"]))
    assert (list(todo.shards), todo.generations, todo.n_before, todo.final) == ([0], {0: 1}, 6, None)
    retried(ledger, 0, todo.again[0], {"s0": None, "s3": "path_missing"})
    assert final_states(store, ledger.plan) is None, "the tables are those of the generation before"
    states = finalise(ledger)
    wanted = {"done": 4, "excluded": 0, "bad_pixels": 1, "not_mr": 1, "path_missing": 1, "storage_failed": 1}
    assert states == wanted == final_states(store, ledger.plan)
    commits = ledger.commits()
    assert [commits[index].generation for index in (0, 1)] == [1, 0]
    scans = ledger.read_parts("scans", commits.values())[0].to_pylist()  # type: ignore[union-attr]
    assert [(r["scan_id"], r["reason"], r["detail"], r["age"]) for r in scans] == [
        ("s0", None, "again", 0),
        ("s1", None, "first", 1),
        ("s2", "bad_pixels", "first", 2),
        ("s3", "path_missing", "again", 3),
    ]
    bones = ledger.read_parts("vertebrae", commits.values())[0].to_pylist()  # type: ignore[union-attr]
    assert [(r["scan_id"], str(r["level"])) for r in bones] == [
        (name, level) for name in ("s0", "s1") for level in ("L4", "L5")
    ]
    if before is not None:
        after = read_results(store.url()).scans
        assert after["scan_id"].tolist() == before["scan_id"].tolist()


def test_a_row_is_read_again_by_itself_only_so_often(store: Store) -> None:
    ledger = first_start(store)
    for start in range(2, AUTOMATIC_TRIES + 1):
        assert read_status(store).due == {"path_missing": 1, "storage_failed": 1, "time_limit": 1}
        found = rows_to_retry(ledger, ledger.commits().values(), Retry(), EVERYTHING_THERE)
        for index, again in found.items():
            retried(ledger, index, again, {name: FIRST[int(name[1:])] for name in again.tries})
        assert ledger.commits()[0].generation == start - 1
        finalise(ledger)
    assert read_status(store).due == {"path_missing": 1}
    assert chosen(ledger) == ["s3"], "a path is looked for however often; what takes long waits to be asked"
    assert what_is_left(ledger, Retry()).final is not None, "the path is not there"
    assert chosen(ledger, Retry.of(["time_limit"])) == ["s0"]


def test_a_damaged_part_is_not_kept(store: Store) -> None:
    ledger = first_start(store)
    record = ledger.commits()[0]
    file = f"{STAGED}/{record.parts['vertebrae'].file}"
    data = bytearray(store.read(file))
    data[len(data) // 2] ^= 255
    store.write(file, bytes(data))
    assert parts_that_stay(ledger, record) is None
    assert set(parts_that_stay(ledger, ledger.commits()[1]) or ()) == {"scans", "vertebrae", "grades"}


def test_a_finished_run_with_nothing_to_read_again_reads_no_commit(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = begun(store)
    for index in range(2):
        names = [f"s{i}" for i in range(index * SHARD_SIZE, (index + 1) * SHARD_SIZE)]
        commit(ledger, index, tables_of(ledger, index, {name: "bad_pixels" for name in names}, "first"))
    states = finalise(ledger)
    monkeypatch.setattr(Ledger, "commits", None)
    assert what_is_left(ledger, Retry()).final == states
    assert what_is_left(ledger, Retry.of(set(REASONS) - {"bad_pixels"})).final == states


def test_a_path_that_may_be_there_is_tried(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert is_there(str(tmp_path / "a"))
    assert is_there(str(tmp_path / "*"))
    assert not is_there(str(tmp_path / "b"))
    assert not is_there(str(tmp_path / "b*"))
    assert is_there("nosuchprotocol://bucket/x"), "a machine that cannot tell leaves it to the workers"
