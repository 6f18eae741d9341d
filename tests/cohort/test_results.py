"""Finished tables as users read them, the same from any sharding and any storage."""

from __future__ import annotations

import json
import uuid
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spinenet.anatomy import FINDINGS
from spinenet.cohort import finalise as finaliser
from spinenet.cohort.finalise import final_states, finalise
from spinenet.cohort.freeze import freeze
from spinenet.cohort.layout import SUCCESS
from spinenet.cohort.ledger import Commit, Ledger
from spinenet.cohort.manifests.manifest import Entry, Manifest
from spinenet.cohort.plan import Conditions, load_plan
from spinenet.cohort.results import read_results
from spinenet.cohort.rows import (
    Failure,
    Provenance,
    ScanFacts,
    ScanRows,
    excluded_rows,
    failed_rows,
    result_rows,
)
from spinenet.cohort.tables import TABLES, to_table
from spinenet.errors import RunError
from spinenet.storage import Store
from spinenet.types import DiscGrade, SpineReading, Vertebra

N_ROWS = 23
MADE_BY = Provenance("tiny", "f" * 64, "0.1", "2.9")
FACTS = ScanFacts((8, 6, 3), (0.5, 0.5), 4.0, np.eye(4), "T1", {}, (), "c" * 64)
BONES = ("L3", "L4", "L5")


def is_final(store: Store) -> bool:
    plan = load_plan(store)
    return plan is not None and final_states(store, plan) is not None


def manifest() -> Manifest:
    ids = [f"s{i:02d}" for i in range(N_ROWS)]
    columns: dict[str, Any] = {"scan_id": ids, "path": ids, "subject_id": ids}
    columns |= {name: pa.nulls(N_ROWS, pa.string()) for name in ("series_uid", "exclude")}
    return Manifest("m.csv", pa.table({**columns, "site": ["A", "B"] * 11 + ["A"]}))


def rows_of(entry: Entry) -> ScanRows:
    """By its number a scan is excluded, fails, or has one to three vertebrae and the discs between."""
    number = int(entry.scan_id[1:])
    if number % 7 == 0:
        return excluded_rows(entry)
    if number % 5 == 0:
        return failed_rows(entry, Failure("not_mr", "the series is CT"), MADE_BY)
    bones = BONES[: 1 + number % 3]
    quads = np.full((1, 4, 2), float(number))
    vertebrae = tuple(Vertebra((1,), quads, level, np.full(24, 1 / 24)) for level in bones)
    grades = tuple(
        DiscGrade(f"{a}-{b}", 1, {f.name: np.eye(f.n_classes)[number % f.n_classes] for f in FINDINGS})
        for a, b in pairwise(bones)
    )
    return result_rows(entry, FACTS, SpineReading(vertebrae, grades), MADE_BY)


def run(store: Store, shard_size: int) -> Ledger:
    """A whole run whose shards end last to first."""
    conditions = Conditions("tiny", "f" * 64, {}, {})
    ledger = Ledger(store, freeze(store, manifest(), conditions, shard_size=shard_size, about={}))
    for index in reversed(range(ledger.plan.n_shards)):
        shard = ledger.plan.shard(index)
        rows = [rows_of(entry) for entry in shard.entries]
        tables = {
            "scans": to_table("scans", [r.scan for r in rows], shard.carried),
            "vertebrae": to_table("vertebrae", [v for r in rows for v in r.vertebrae]),
            "grades": to_table("grades", [g for r in rows for g in r.grades]),
        }
        states = pd.Series([r.scan.get("reason") or r.scan["status"] for r in rows]).value_counts()
        commit = Commit(index, 0, ledger.stage(index, tables), {str(k): int(n) for k, n in states.items()})
        assert ledger.commit(commit)
    return ledger


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results") / "out"
    finalise(run(Store.at(str(folder)), 4))
    return folder


def test_one_row_a_scan_and_unique_levels(out: Path) -> None:
    results = read_results(str(out))
    assert results.scans["scan_id"].tolist() == [f"s{i:02d}" for i in range(N_ROWS)]
    assert results.scans["status"].value_counts().to_dict() == {"done": 15, "failed": 4, "excluded": 4}
    assert results.scans["site"].tolist()[:3] == ["A", "B", "A"]
    for frame, count in ((results.vertebrae, "n_vertebrae"), (results.grades, "n_discs")):
        assert not frame.duplicated(["scan_id", "level"]).any()
        assert len(frame) == results.scans[count].sum() > 0
        assert set(frame["scan_id"]) <= set(results.scans.query("status == 'done'")["scan_id"])
    assert results.scans is results.scans, "a table is read once"


def test_sums_are_those_of_the_manifest(out: Path) -> None:
    record = json.loads((out / SUCCESS).read_bytes())
    assert record["rows"] == N_ROWS == sum(record["states"].values())
    assert record["states"] == {"done": 15, "excluded": 4, "not_mr": 4}
    for name in TABLES:
        told = sum(part["rows"] for part in record["tables"][name])
        assert told == len(read_results(str(out)).table(name))


def test_plain_readers_read_the_folders(out: Path) -> None:
    results = read_results(str(out))
    for name in TABLES:
        told = results.table(name)
        pd.testing.assert_frame_equal(pd.read_parquet(out / name).astype(told.dtypes), told)
        assert {file.suffix for file in (out / name).iterdir()} == {".parquet"}


def test_whole_numbers_stay_whole_beside_failed_rows(out: Path) -> None:
    results = read_results(str(out))
    scans = results.scans
    assert scans["n_vertebrae"].isna().any()
    for name in ("rows", "columns", "slices", "n_vertebrae", "n_discs"):
        assert scans[name].dtype == "Int64", name
    assert scans["rows"].dropna().unique().tolist() == [8]
    assert results.grades["pfirrmann"].dtype == "Int8"
    assert results.vertebrae["mid_slice"].dtype == "Int64"
    some = results.table("scans", ["n_discs"], [("status", "==", "done")])
    assert some["n_discs"].dtype == "Int64", "the same with and without missing ones"


def test_carried_columns_keep_their_kind(tmp_path: Path) -> None:
    ids = ["a", "b"]
    blank = pa.nulls(2, pa.string())
    table = pa.table(
        {
            **{"scan_id": ids, "path": ids, "subject_id": blank, "series_uid": blank, "exclude": blank},
            "age": pa.array([61, None]),
            "big": pa.array([2**63, None], pa.uint64()),
            "smokes": pa.array([True, None]),
            "code": ["007", "NA"],
            "weight": pa.array([61.5, None]),
        }
    )
    store, conditions = Store.at(str(tmp_path)), Conditions("t", "f", {}, {})
    ledger = Ledger(store, freeze(store, Manifest("m", table), conditions, shard_size=2, about={}))
    shard = ledger.plan.shard(0)
    rows = [failed_rows(entry, Failure("not_mr", "CT"), MADE_BY).scan for entry in shard.entries]
    tables = {"scans": to_table("scans", rows, shard.carried)}
    parts = ledger.stage(0, tables | {name: to_table(name, []) for name in ("vertebrae", "grades")})
    ledger.commit(Commit(0, 0, parts, {"not_mr": 2}))
    finalise(ledger)
    scans = read_results(str(tmp_path)).scans
    kinds = {name: str(scans[name].dtype) for name in ("age", "big", "smokes", "weight")}
    assert kinds == {"age": "Int64", "big": "UInt64", "smokes": "boolean", "weight": "float64"}
    assert scans["big"][0] == 2**63
    assert scans["code"].tolist() == ["007", "NA"]
    assert scans["smokes"].tolist() == [True, pd.NA]


def test_results_are_shown_in_a_line(out: Path) -> None:
    assert repr(read_results(str(out))) == f"Results({str(out)!r})"


def test_columns_and_filters(out: Path) -> None:
    results = read_results(str(out))
    some = results.table("grades", ["scan_id", "pfirrmann"], [("level", "==", "L4-L5")])
    assert some.columns.tolist() == ["scan_id", "pfirrmann"]
    wanted = results.grades[results.grades["level"] == "L4-L5"]
    assert some["scan_id"].tolist() == wanted["scan_id"].tolist() != []
    assert results.table("scans", ("scan_id",)).columns.tolist() == ["scan_id"]
    with pytest.raises(KeyError, match="the tables are scans, vertebrae, grades"):
        results.table("discs")


def test_no_results_before_the_end(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path / "out"))
    with pytest.raises(RunError, match="no finished run"):
        read_results(store.url())
    run(store, 5)
    with pytest.raises(RunError, match="no finished run"):
        read_results(store.url())


def test_results_on_other_storage(out: Path) -> None:
    url = f"memory://{uuid.uuid4().hex}"
    try:
        finalise(run(Store.at(url), 6))
        there, here = read_results(url), read_results(str(out))
        for name in TABLES:
            pd.testing.assert_frame_equal(there.table(name), here.table(name))
        assert there.table("grades", ["level"], [("level", "==", "L3-L4")])["level"].eq("L3-L4").all()
    finally:
        fsspec.filesystem("memory").rm(url, recursive=True)


@settings(max_examples=8)
@given(shard_size=st.integers(1, N_ROWS + 1), rows_per_file=st.integers(1, 40), at_once=st.integers(1, 4))
def test_files_do_not_depend_on_shards(shard_size: int, rows_per_file: int, at_once: int) -> None:
    written = []
    with mock.patch.object(finaliser, "ROWS_PER_FILE", rows_per_file):
        for size, batch in ((shard_size, at_once), (7, 128)):
            store = Store.at(f"memory://{uuid.uuid4().hex}")
            with mock.patch.object(finaliser, "SHARDS_AT_ONCE", batch):
                finalise(run(store, size))
            assert is_final(store)
            written.append(json.loads(store.read(SUCCESS)))
            store.fs.rm(store.root, recursive=True)
    assert written[0] == written[1], "digests of all files are the same"
    sizes = [part["rows"] for part in written[0]["tables"]["scans"]]
    assert sizes[:-1] == [rows_per_file] * (len(sizes) - 1)


def test_finalising_again_leaves_no_stale_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.at(str(tmp_path))
    ledger = run(store, 4)
    monkeypatch.setattr(finaliser, "ROWS_PER_FILE", 5)
    finalise(ledger)
    assert len(store.sizes("scans")) == 5
    monkeypatch.undo()
    finalise(ledger)
    assert list(store.sizes("scans")) == ["part-00000.parquet"]
    assert len(read_results(str(tmp_path)).scans) == N_ROWS


def test_a_damaged_table_is_not_final(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    assert not is_final(store)
    finalise(run(store, 4))
    assert is_final(store)
    part = tmp_path / "grades" / "part-00000.parquet"
    data = part.read_bytes()
    part.write_bytes(data[:-1] + b"?")
    assert not is_final(store)
    part.unlink()
    assert not is_final(store)
    part.write_bytes(data)
    assert is_final(store)


def test_rows_that_are_not_of_the_plan_are_refused(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    ledger = run(store, 12)
    parts = ledger.commits()[0].parts
    assert ledger.commit(Commit(1, 1, parts, {"done": ledger.plan.rows_of(1)}))
    with pytest.raises(RunError, match="rows of shard 1 are not those of the plan"):
        finalise(ledger)
    assert not store.exists(SUCCESS)
