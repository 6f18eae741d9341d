"""Processes of this machine do a part of a run: a scan that ends them costs itself alone."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from spinenet.cohort.begin import take_up
from spinenet.cohort.part import Part
from spinenet.cohort.pieces import PartSummary, do_part, finalise_run, plan_run
from spinenet.cohort.request import RunRequest
from spinenet.errors import RunError, Stopped
from support.cohorts import small_scan, write
from support.process_steps import STEPS


def planned(folder: Path, names: Sequence[str], shard_size: int = 64) -> str:
    """A run over scans of these names that is planned."""
    manifest, out = folder / "manifest.csv", str(folder / "out")
    manifest.write_text("scan_id,path\n" + "".join(f"{n},{n}\n" for n in names), encoding="utf-8")
    plan_run(RunRequest(manifest=str(manifest), out=out, weights="synthetic", shard_size=shard_size))
    return out


def do(out: str, stop: threading.Event | None = None) -> PartSummary:
    return do_part(take_up(out), Part(0, 1), processes=2, stop=stop, steps=STEPS)


@pytest.mark.timeout(1200)  # processes are started a dozen times
def test_a_scan_that_ends_its_process_costs_itself_alone(tmp_path: Path) -> None:
    names = ["a", "poison", "b", "once", "c", "deadly", "d", "stuck", *(f"s{i}" for i in range(12))]
    out = planned(tmp_path, names)
    assert do(out).states == {"done": 17, "worker_lost": 3}
    assert finalise_run(out) == {"done": 17, "excluded": 0, "worker_lost": 3}
    scans = pd.read_parquet(Path(out, "scans")).set_index("scan_id")
    assert set(scans.index[scans["status"] == "failed"]) == {"poison", "deadly", "stuck"}
    assert not multiprocessing.active_children()


def test_a_gpu_that_fails_is_tried_again_in_another_process(tmp_path: Path) -> None:
    write(tmp_path / "cursed", small_scan(1), "cursed")
    out = planned(tmp_path, ["a", "cursed", "b", "c"])
    assert do(out).states == {"done": 3, "gpu_failed": 1}


def test_a_stop_ends_all_processes_and_commits_nothing(tmp_path: Path) -> None:
    out, stop = planned(tmp_path, ["a", "slow", "b"]), threading.Event()
    threading.Timer(5, stop.set).start()
    with pytest.raises(Stopped, match="the run was stopped; start it again"):
        do(out, stop)
    assert not multiprocessing.active_children()
    with pytest.raises(RunError, match=r"1 of 1 shards are not done; do them again .* sbatch --array=0$"):
        finalise_run(out)


def test_a_damaged_part_is_named_and_made_again(tmp_path: Path) -> None:
    out = planned(tmp_path, [f"s{i}" for i in range(6)], shard_size=2)
    do(out)
    (part,) = Path(out, "_run", "staged").glob("grades-00001-*")
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    with pytest.raises(RunError, match=r"1 of 3 shards are damaged; .*`spinenet shard .* auto` .*--array=1$"):
        finalise_run(out)
    assert do_part(take_up(out), Part(0, 3), processes=1, steps=STEPS) == PartSummary(1, 1, {})
    assert do_part(take_up(out), Part(1), processes=1, steps=STEPS) == PartSummary(1, 0, {"done": 2})
    assert finalise_run(out) == {"done": 6, "excluded": 0}
    # once the tables are whole, nothing hangs on the parts
    part.unlink(missing_ok=True)
    assert finalise_run(out) == {"done": 6, "excluded": 0}
