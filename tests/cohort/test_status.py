"""The account of a run: counts without reading parts, examples, pace; and what a finished run needs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pytest

from spinenet.cohort.finalise import final_states, finalise
from spinenet.cohort.freeze import freeze
from spinenet.cohort.layout import COMMITS, STAGED
from spinenet.cohort.ledger import Commit, Ledger
from spinenet.cohort.manifests.manifest import Manifest
from spinenet.cohort.pace import rows_per_second
from spinenet.cohort.plan import Conditions
from spinenet.cohort.status import read_status
from spinenet.cohort.tables import to_table
from spinenet.storage import Store

CONDITIONS = Conditions("tiny", "f" * 64, {"detector.safetensors": "0" * 64}, {"skip_penalty": True})
REASONS = (None, "not_mr", None, "bad_pixels", None, "not_mr", "excluded", None)
"""Of each eight rows in turn; None is a row that is done."""


def ledger_of(store: Store, n_rows: int = 40, shard_size: int = 8) -> Ledger:
    ids = [f"s{i}" for i in range(n_rows)]
    blank = pa.nulls(n_rows, pa.string())
    columns = {"scan_id": ids, "path": ids, "subject_id": blank, "series_uid": blank, "exclude": blank}
    manifest = Manifest("m.csv", pa.table(columns))
    return Ledger(store, freeze(store, manifest, CONDITIONS, shard_size=shard_size, about={}))


def do(ledger: Ledger, index: int, at: str = "", seconds: float = 0.0) -> Commit:
    shard = ledger.plan.shard(index)
    states: dict[str, int] = {}
    rows: list[dict[str, str | None]] = []
    for number, entry in enumerate(shard.entries):
        reason = REASONS[number % len(REASONS)]
        status = {None: "done", "excluded": "excluded"}.get(reason, "failed")
        states[reason or "done"] = states.get(reason or "done", 0) + 1
        rows.append({"scan_id": entry.scan_id, "status": status})
        if status == "failed":
            rows[-1] |= {"reason": reason, "detail": "a sentence"}
    tables = {"scans": to_table("scans", rows, shard.carried)}
    parts = ledger.stage(index, tables | {name: to_table(name, []) for name in ("vertebrae", "grades")})
    commit = Commit(index, 0, parts, states, {}, at, seconds, flags={"levels_uncertain": 1, "oblique": 2})
    assert ledger.commit(commit)
    return commit


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are read."""
    names: list[str] = []
    read, read_many = Store.read, Store.read_many

    def one(store: Store, name: str) -> bytes:
        names.append(name)
        return read(store, name)

    def many(store: Store, some: Iterable[str]) -> dict[str, bytes]:
        listed = list(some)
        names.extend(listed)
        return read_many(store, listed)

    monkeypatch.setattr(Store, "read", one)
    monkeypatch.setattr(Store, "read_many", many)
    return names


def test_counts_read_no_part_and_agree_with_the_rows(store: Store, asked: list[str]) -> None:
    ledger = ledger_of(store)
    for index in (0, 1, 3):
        do(ledger, index)
    asked.clear()
    counts = read_status(store)
    assert not [name for name in asked if name.startswith(STAGED)]
    assert counts.states == {"done": 12, "excluded": 3, "pending": 16, "bad_pixels": 3, "not_mr": 6}
    assert sum(counts.states.values()) == counts.n_rows == 40
    assert list(counts.reasons) == ["not_mr", "bad_pixels"]
    assert list(counts.flags.items()) == [("oblique", 6), ("levels_uncertain", 3)]
    assert (counts.n_committed, counts.n_shards, counts.finished) == (3, 5, False)
    whole = read_status(store, every_row=True)
    assert whole.states == counts.states
    assert [row.scan_id for row in whole.rows] == [f"s{i}" for i in range(40)]
    assert {row.state for row in whole.rows[16:24]} == {"pending"}


def test_examples_come_from_few_parts(store: Store, asked: list[str]) -> None:
    ledger = ledger_of(store)
    for index in range(5):
        do(ledger, index)
    asked.clear()
    told = read_status(store, examples=2)
    assert len({name for name in asked if name.startswith(STAGED)}) == 2
    assert {reason: [row.scan_id for row in rows] for reason, rows in told.reasons.items()} == {
        "not_mr": ["s1", "s5"],
        "bad_pixels": ["s3", "s11"],
    }


def test_a_part_that_is_gone_is_pending_again(store: Store) -> None:
    ledger = ledger_of(store)
    commits = [do(ledger, index) for index in range(5)]
    store.remove([f"{STAGED}/{commits[2].parts['grades'].file}"])
    assert read_status(store).states["pending"] == 8
    assert sum(read_status(store).states.values()) == 40


def test_a_finished_run_is_known_without_its_commits(store: Store, asked: list[str]) -> None:
    ledger = ledger_of(store)
    commits = [do(ledger, index, f"2026-01-01T00:00:{index:02d}+00:00", 1.0) for index in range(5)]
    states = finalise(ledger)
    store.remove(f"{COMMITS}/{name}" for name in store.sizes(COMMITS))
    store.remove(f"{STAGED}/{part.file}" for commit in commits for part in commit.parts.values())
    assert final_states(store, ledger.plan) == states
    asked.clear()
    counts = read_status(store)
    assert len(set(asked)) == 3, "run.json, the plan and _SUCCESS"
    assert counts.states == {"pending": 0} | dict(states)
    assert counts.flags == {"oblique": 10, "levels_uncertain": 5}
    assert counts.finished
    assert counts.seconds_left == 0
    assert counts.rows_per_second == pytest.approx(8)
    assert counts.last_commit == "2026-01-01T00:00:04+00:00"
    told = read_status(store, examples=1)
    assert [row.scan_id for rows in told.reasons.values() for row in rows] == ["s1", "s3"]
    whole = read_status(store, every_row=True)
    assert [row.scan_id for row in whole.rows] == [f"s{i}" for i in range(40)]
    assert whole.states == counts.states


def test_success_of_another_plan_is_none(tmp_path: Path) -> None:
    stores = [Store.at(str(tmp_path / name)) for name in ("one", "other")]
    ledgers = [ledger_of(store, n_rows) for store, n_rows in zip(stores, (40, 16), strict=True)]
    for ledger in ledgers:
        for index in range(ledger.plan.n_shards):
            do(ledger, index)
        finalise(ledger)
    stores[0].write("_SUCCESS", stores[1].read("_SUCCESS"))
    assert final_states(stores[0], ledgers[0].plan) is None
    assert final_states(stores[1], ledgers[1].plan) is not None
    assert not read_status(stores[0]).finished


def commit(minute: float, seconds: float, rows: int = 10) -> Commit:
    at = f"2026-01-01T{int(minute) // 60:02d}:{int(minute) % 60:02d}:{minute % 1 * 60:06.3f}+00:00"
    return Commit(0, 0, {}, {"done": rows}, {}, at, seconds)


def test_a_pause_is_no_work() -> None:
    # a shard a minute, two at once, each taking two; then ten hours nothing; then the same again
    before = [commit(minute, 120) for minute in range(2, 12)]
    after = [commit(600 + minute, 120) for minute in range(2, 12)]
    steady = rows_per_second(before)
    assert steady == pytest.approx(10 * 10 / (11 * 60))
    assert rows_per_second(before + after) == pytest.approx(20 * 10 / (22 * 60))
    assert rows_per_second(after + before) == rows_per_second(before + after)


def test_pace_is_of_late() -> None:
    slow = [commit(minute, 60) for minute in range(1, 11)]
    quick = [commit(10 + i / 2, 30) for i in range(1, 101)]
    assert rows_per_second(slow + quick) == pytest.approx(10 / 30)
    assert rows_per_second(slow + quick, last=None) == pytest.approx(110 * 10 / (10 * 60 + 100 * 30))


def test_no_times_no_pace(store: Store) -> None:
    assert rows_per_second([]) is None
    assert rows_per_second([Commit(0, 0, {}, {"done": 3})]) is None
    ledger_of(store)
    told = read_status(store)
    assert told.seconds_left is None
    assert told.states["pending"] == 40


def test_time_left_is_what_is_pending_at_that_pace(store: Store) -> None:
    ledger = ledger_of(store)
    for index in range(4):
        do(ledger, index, f"2026-01-01T00:0{index}:00+00:00", 60.0)
    told = read_status(store)
    assert told.rows_per_second == pytest.approx(8 / 60)
    assert told.seconds_left == pytest.approx(60)
