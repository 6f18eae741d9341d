"""A run is changed only on its user's word: rows are appended, or all of it is read anew."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spinenet.cohort.finalise import final_states, finalise
from spinenet.cohort.freeze import Change, freeze
from spinenet.cohort.layout import COMMITS, RUN_FILE, STAGED
from spinenet.cohort.ledger import Ledger
from spinenet.cohort.manifests.manifest import Manifest
from spinenet.cohort.plan import Conditions, load_plan
from spinenet.cohort.status import read_status
from spinenet.errors import OtherRun, RunError
from spinenet.storage import Store
from support.run_without_models import CONDITIONS, do_shard, manifest_of

OTHER = replace(CONDITIONS, weights_fingerprint="e" * 64)


def ledger_of(
    store: Store, n_rows: int, change: Change = "refuse", conditions: Conditions = CONDITIONS
) -> Ledger:
    plan = freeze(store, manifest_of(n_rows), conditions, shard_size=4, about={}, change=change)
    return Ledger(store, plan)


def finished(store: Store, n_rows: int) -> Ledger:
    """A finished run in shards of four."""
    ledger = ledger_of(store, n_rows)
    for index in ledger.unfinished(ledger.commits()):
        assert do_shard(ledger, index, "first")
    finalise(ledger)
    return ledger


def scans(store: Store) -> pa.Table:
    return pa.concat_tables(
        pq.read_table(pa.BufferReader(store.read(f"scans/{name}"))) for name in sorted(store.sizes("scans"))
    )


def said(store: Store) -> list[str]:
    """Which run made each row of the table."""
    return [str(text) for text in scans(store).column("detail").to_pylist()]


def test_rows_are_appended_and_full_shards_stay(store: Store) -> None:
    finished(store, 10)
    with pytest.raises(OtherRun, match="--append"):
        ledger_of(store, 15)
    longer = ledger_of(store, 15, "append")
    assert longer.plan.revision == 1
    assert final_states(store, longer.plan) is None
    status = read_status(store, every_row=True)
    assert (status.n_rows, status.states["done"], status.states["pending"]) == (15, 8, 7)
    assert longer.unfinished(longer.commits()) == [2, 3]
    for index in (2, 3):
        assert do_shard(longer, index, "second")
    finalise(longer)
    assert said(store) == ["first"] * 8 + ["second"] * 7
    assert scans(store).column("scan_id").to_pylist() == [f"s{i}" for i in range(15)]
    assert final_states(store, longer.plan) == {"done": 15, "excluded": 0}
    # a start with the longer manifest goes on with it, and one with the shorter is another run's
    assert ledger_of(store, 15).plan.revision == 1
    with pytest.raises(OtherRun, match="another manifest"):
        ledger_of(store, 10)


def test_what_was_appended_can_be_appended_to_and_mended(store: Store) -> None:
    finished(store, 10)
    second = ledger_of(store, 13, "append")
    for index in (2, 3):
        do_shard(second, index, "second")
    third = ledger_of(store, 17, "append")
    assert third.plan.kept == ((0, 2), (1, 3))
    assert third.unfinished(third.commits()) == [3, 4]
    store.remove([f"{STAGED}/{third.commits()[1].parts['scans'].file}"])
    assert third.unfinished(third.commits()) == [1, 3, 4]
    for index in (1, 3, 4):
        do_shard(third, index, "third", generation=index == 1)
    finalise(third)
    assert said(store) == ["first"] * 4 + ["third"] * 4 + ["second"] * 4 + ["third"] * 5


def changed(manifest: Manifest, **columns: Any) -> Manifest:
    table = manifest.table
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    return dataclasses.replace(manifest, table=table)


@pytest.mark.parametrize(
    "manifest",
    [
        manifest_of(9),
        changed(manifest_of(12), age=[99, *range(1, 12)]),
        changed(manifest_of(12), path=[f"moved-{i}" for i in range(12)]),
        dataclasses.replace(manifest_of(12), table=manifest_of(12).table.drop_columns(["age"])),
    ],
)
def test_only_rows_at_the_end_can_be_appended(store: Store, manifest: Manifest) -> None:
    before = finished(store, 10)
    with pytest.raises(OtherRun, match="add rows after the manifest's last and change nothing else"):
        freeze(store, manifest, CONDITIONS, shard_size=4, about={}, change="append")
    with pytest.raises(OtherRun, match="other weights"):
        ledger_of(store, 12, "append", OTHER)
    assert load_plan(store) == before.plan
    assert final_states(store, before.plan) == {"done": 10, "excluded": 0}


def test_all_is_read_anew_and_nothing_of_before_counts(store: Store) -> None:
    before = finished(store, 10)
    with pytest.raises(OtherRun, match="--regrade"):
        ledger_of(store, 10, "refuse", OTHER)
    again = ledger_of(store, 10, "regrade", OTHER)
    assert again.unfinished(again.commits()) == [0, 1, 2]
    # until then the tables are those of before
    assert set(said(store)) == {"first"}
    for index in range(3):
        assert do_shard(again, index, "again")
    finalise(again)
    assert set(said(store)) == {"again"}
    assert json.loads(store.read(RUN_FILE))["conditions"]["weights_fingerprint"] == "f" * 64
    # somebody who still works for the run of before cannot put his tables in the place of these
    assert not do_shard(before, 0, "late") or before.commits()
    with pytest.raises(RunError, match="its tables are left to that one"):
        finalise(before)
    assert set(said(store)) == {"again"}


def test_a_run_that_fits_is_not_changed(store: Store) -> None:
    finished(store, 10)
    for change in ("append", "regrade"):
        assert ledger_of(store, 10, change).plan.revision == 0
    assert len(store.sizes(COMMITS)) == 3


def test_of_two_changes_at_once_one_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    finished(store, 10)
    create = Store.create

    def late(self: Store, name: str, data: bytes, *, atomic: bool = True) -> bool:
        monkeypatch.setattr(Store, "create", create)
        assert ledger_of(self, 12, "append").plan.n_rows == 12
        return create(self, name, data, atomic=atomic)

    monkeypatch.setattr(Store, "create", late)
    with pytest.raises(OtherRun, match="at this moment"):
        ledger_of(store, 10, "regrade", OTHER)
    assert ledger_of(store, 12).plan.revision == 1
