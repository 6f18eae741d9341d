"""Whoever reads the tables while they are written anew sees all old rows or all new ones."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from spinenet.cohort import finalise as finalising
from spinenet.cohort.checkpoints import by_shard, save_detections
from spinenet.cohort.finalise import finalise
from spinenet.cohort.freeze import freeze
from spinenet.cohort.layout import DETECTIONS
from spinenet.cohort.ledger import Commit, Ledger
from spinenet.cohort.manifests.manifest import read_manifest
from spinenet.cohort.plan import Conditions, load_plan
from spinenet.cohort.results import Results, read_results
from spinenet.cohort.rows import Failure, Provenance, failed_rows
from spinenet.cohort.status import read_status
from spinenet.cohort.tables import to_table
from spinenet.errors import RunError
from spinenet.storage import Store

N_ROWS = 12
MADE_BY = Provenance("tiny", "f" * 64, "0", "0")


def begun(folder: Path) -> Ledger:
    lines = ["scan_id,path", *(f"s{i},p{i}" for i in range(N_ROWS))]
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    store = Store.at(str(folder / "out"))
    conditions = Conditions("tiny", "f" * 64, {"detector.safetensors": "0" * 64}, {})
    manifest = read_manifest(str(folder / "manifest.csv"))
    return Ledger(store, freeze(store, manifest, conditions, shard_size=5, about={}))


def write(ledger: Ledger, generation: int) -> None:
    """Do every shard anew, each row with the generation in its detail, and write the tables."""
    for index in range(ledger.plan.n_shards):
        shard = ledger.plan.shard(index)
        failure = Failure("not_mr", f"generation {generation}")
        rows = [failed_rows(entry, failure, MADE_BY).scan for entry in shard.entries]
        parts = ledger.stage(
            index,
            {
                "scans": to_table("scans", rows, shard.carried),
                "vertebrae": to_table("vertebrae", []),
                "grades": to_table("grades", []),
            },
        )
        assert ledger.commit(Commit(index, generation, parts, {"not_mr": len(rows)}))
    finalise(ledger)


def watched(ledger: Ledger, read: Callable[[], pd.DataFrame], rounds: int) -> set[str]:
    """Write generation after generation beside a reader, and say what it saw in the order of its kinds."""
    write(ledger, 0)
    seen: set[str] = set()
    over, first = threading.Event(), threading.Event()

    def look() -> None:
        while not over.is_set():
            try:
                frame = read()
            except FileNotFoundError:
                seen.add("gone")
            except BaseException as error:
                seen.add(f"{type(error).__name__}: {error}")
            else:
                kinds = set(frame["detail"])
                whole = len(kinds) == 1 and len(frame) == N_ROWS
                seen.add("whole" if whole else f"{len(frame)} rows of {sorted(kinds)}")
            first.set()

    reader = threading.Thread(target=look)
    reader.start()
    try:
        first.wait(30)
        for generation in range(1, rounds):
            write(ledger, generation)
    finally:
        over.set()
        reader.join()
    return seen


@pytest.mark.parametrize("rows_per_file", [500_000, 5])
def test_read_results_sees_one_generation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_per_file: int
) -> None:
    monkeypatch.setattr(finalising, "ROWS_PER_FILE", rows_per_file)
    ledger = begun(tmp_path)
    assert watched(ledger, lambda: read_results(str(tmp_path / "out")).scans, 8) == {"whole"}


def test_pandas_sees_one_generation_of_a_table_of_one_file(tmp_path: Path) -> None:
    ledger = begun(tmp_path)
    assert watched(ledger, lambda: pd.read_parquet(tmp_path / "out" / "scans"), 8) == {"whole"}


def test_pandas_never_mixes_the_files_of_two_generations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finalising, "ROWS_PER_FILE", 5)
    ledger = begun(tmp_path)
    # files that were listed may be gone when they are opened, as is said where the tables are described
    assert watched(ledger, lambda: pd.read_parquet(tmp_path / "out" / "scans"), 8) <= {"whole", "gone"}


def test_tables_of_two_generations_are_never_handed_out_together(tmp_path: Path) -> None:
    ledger = begun(tmp_path)
    write(ledger, 0)
    held: Results = read_results(str(tmp_path / "out"))
    assert set(held.scans["detail"]) == {"generation 0"}
    write(ledger, 1)
    assert set(held.scans["detail"]) == {"generation 0"}
    with pytest.raises(RunError, match="written anew since they were opened; call read_results again"):
        _ = held.grades
    assert set(read_results(str(tmp_path / "out")).scans["detail"]) == {"generation 1"}


STRAYS = (".DS_Store", "._part-00000.parquet", "desktop.ini", "Thumbs.db", ".nfs0000000001", "notes.txt~")


def test_stray_files_are_ignored_and_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = begun(tmp_path)
    write(ledger, 0)
    save_detections(ledger.store, 1, "0" * 64, {})
    run = tmp_path / "out" / "_run"
    tables = [tmp_path / "out" / name for name in ("scans", "vertebrae", "grades")]
    folders = [run, *(entry for entry in run.iterdir() if entry.is_dir()), *tables]
    for folder in folders:
        for name in STRAYS:
            (folder / name).write_bytes(b"stray")
        (folder / "a folder").mkdir()
        (folder / "a folder" / "00000-00.json").write_bytes(b"stray")
    again = load_plan(Store.at(str(tmp_path / "out")))
    assert again is not None
    ledger = Ledger(Store.at(str(tmp_path / "out")), again)
    assert ledger.unfinished(ledger.commits()) == []
    assert by_shard(ledger.store.sizes(DETECTIONS)).keys() == {1}
    assert read_status(ledger.store, examples=5).states["not_mr"] == N_ROWS
    assert read_status(ledger.store, every_row=True).states["not_mr"] == N_ROWS
    assert len(read_results(str(tmp_path / "out")).scans) == N_ROWS
    monkeypatch.setattr(finalising, "ROWS_PER_FILE", 5)
    write(ledger, 1)
    assert set(read_results(str(tmp_path / "out")).scans["detail"]) == {"generation 1"}
    assert all((folder / name).exists() for folder in folders for name in (*STRAYS, "a folder"))
