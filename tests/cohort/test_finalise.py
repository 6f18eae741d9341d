"""Plans, commits and tables: equal from any sharding, holes and damage noticed, other runs refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinenet.cohort.finalise import DamagedParts, final_states, finalise
from spinenet.cohort.freeze import freeze
from spinenet.cohort.ledger import Commit, Ledger
from spinenet.cohort.manifests.manifest import Manifest, read_manifest
from spinenet.cohort.plan import Conditions, Plan, load_plan
from spinenet.cohort.results import read_results
from spinenet.cohort.rows import Failure, Provenance, excluded_rows, failed_rows
from spinenet.cohort.status import read_status
from spinenet.cohort.tables import TABLES, from_parquet, schema, to_parquet, to_table
from spinenet.errors import ManifestError, OtherRun, RunError
from spinenet.storage import Store

CONDITIONS = Conditions("tiny", "f" * 64, {"detector.safetensors": "0" * 64}, {"skip_penalty": True})
MADE_BY = Provenance("tiny", "f" * 64, "0", "0")


def is_final(store: Store) -> bool:
    plan = load_plan(store)
    return plan is not None and final_states(store, plan) is not None


def manifest_of(folder: Path, rows: int = 11) -> Manifest:
    lines = ["scan_id,path,exclude,age"] + [
        f"s{i},p{i},{'yes' if i % 5 == 0 else ''},{i}" for i in range(rows)
    ]
    file = folder / "manifest.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_manifest(str(file))


def plan_of(store: Store, manifest: Manifest, shard_size: int) -> Plan:
    return freeze(store, manifest, CONDITIONS, shard_size=shard_size, about={})


def do(ledger: Ledger, index: int, generation: int = 0) -> bool:
    """Stage and commit a shard whose scans are excluded or fail."""
    shard = ledger.plan.shard(index)
    failure = Failure("not_mr", "the series is CT")
    rows = [
        (excluded_rows(e) if e.excluded else failed_rows(e, failure, MADE_BY)).scan for e in shard.entries
    ]
    parts = ledger.stage(
        index,
        {
            "scans": to_table("scans", rows, shard.carried),
            "vertebrae": to_table("vertebrae", []),
            "grades": to_table("grades", []),
        },
    )
    states = {"excluded": sum(e.excluded for e in shard.entries)}
    states["not_mr"] = len(rows) - states["excluded"]
    return ledger.commit(Commit(index, generation, parts, states))


@given(shard_size=st.integers(1, 14))
def test_tables_do_not_depend_on_the_sharding(
    shard_size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("run")
    manifest = manifest_of(folder)
    frames = []
    for name, size in (("one", 4), ("other", shard_size)):
        store = Store.at(str(folder / name))
        ledger = Ledger(store, plan_of(store, manifest, size))
        for index in reversed(range(ledger.plan.n_shards)):
            assert do(ledger, index)
        states = finalise(ledger)
        assert sum(states.values()) == 11
        assert is_final(store)
        frames.append(read_results(str(folder / name)).scans)
    first, second = frames
    pd.testing.assert_frame_equal(first, second)
    assert frames[0]["scan_id"].tolist() == [f"s{i}" for i in range(11)]
    assert frames[0]["age"].tolist() == list(range(11))


def test_holes_are_not_finalised(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path / "out"))
    ledger = Ledger(store, plan_of(store, manifest_of(tmp_path), 4))
    do(ledger, 0)
    do(ledger, 2)
    assert ledger.unfinished(ledger.commits()) == [1]
    with pytest.raises(RunError, match="1 of 3 shards"):
        finalise(ledger)
    status = read_status(store)
    assert status.states["pending"] == 4
    assert sum(status.states.values()) == status.n_rows == 11
    assert not is_final(store)


def test_the_first_commit_wins(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path / "out"))
    ledger = Ledger(store, plan_of(store, manifest_of(tmp_path), 4))
    assert do(ledger, 0)
    first = ledger.commits()[0]
    assert not ledger.commit(dataclasses.replace(first, states={"done": 4}))
    assert ledger.commits()[0] == first


def test_damage_is_found_and_mended_by_a_later_generation(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path / "out"))
    ledger = Ledger(store, plan_of(store, manifest_of(tmp_path), 4))
    for index in range(3):
        do(ledger, index)
    part = tmp_path / "out" / "_run" / "staged" / ledger.commits()[1].parts["scans"].file
    part.write_bytes(part.read_bytes()[:-1] + b"?")
    with pytest.raises(DamagedParts) as caught:
        finalise(ledger)
    assert caught.value.shards == (1,)
    assert do(ledger, 1, generation=1)
    finalise(ledger)
    assert is_final(store)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"weights_fingerprint": "e" * 64}, "other weights"),
        ({"settings": {"skip_penalty": False}}, "other settings"),
        ({"settings": {}}, "other settings"),
    ],
)
def test_other_conditions_are_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    store, manifest = Store.at(str(tmp_path / "out")), manifest_of(tmp_path)
    plan_of(store, manifest, 4)
    with pytest.raises(OtherRun, match=said):
        freeze(store, manifest, dataclasses.replace(CONDITIONS, **change), shard_size=4, about={})
    with pytest.raises(OtherRun, match="another manifest"):
        freeze(store, manifest_of(tmp_path, 12), CONDITIONS, shard_size=4, about={})
    again = plan_of(store, manifest, 99)
    assert again.shard_size == 4
    assert load_plan(store) is not None


@pytest.mark.parametrize("name", TABLES)
def test_an_empty_part_has_the_schema(name: str) -> None:
    empty = to_table(name, [])
    assert empty.schema.equals(schema(name), check_metadata=True)
    assert from_parquet(to_parquet(empty)).schema.names == schema(name).names


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("scan_id,path\na,x\na,y\n", "scan_id"),
        ("scan_id,file\na,x\n", "no column path"),
        ("scan_id,path\n", "no rows"),
        ("scan_id,path\na,\n", "path"),
    ],
)
def test_bad_manifests_say_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "m.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError, match=said):
        read_manifest(str(file))


def test_formats_and_relative_paths_agree(tmp_path: Path) -> None:
    frame = pd.DataFrame({"scan_id": ["a", "b"], "path": ["x", "/abs/y"], "age": [1, 2]})
    frame.to_csv(tmp_path / "m.csv", index=False)
    frame.to_csv(tmp_path / "m.tsv", index=False, sep="\t")
    frame.to_json(tmp_path / "m.jsonl", orient="records", lines=True)
    frame.to_parquet(tmp_path / "m.parquet")
    tables = [read_manifest(str(tmp_path / f"m.{kind}")).table for kind in ("csv", "tsv", "jsonl", "parquet")]
    assert all(table.to_pylist() == tables[0].to_pylist() for table in tables)
    assert tables[0]["path"].to_pylist() == [f"{tmp_path}/x", "/abs/y"]
