"""A manifest of many shards through the real flow, with tasks that do nothing."""

from __future__ import annotations

import gc
import json
from collections.abc import Mapping
from pathlib import Path

from noop import STEPS
from prefect.futures import PrefectFuture

from flows.cohort import run_cohort
from flows.progress import LogReporter
from spinenet.cohort.results import read_results
from spinenet.cohort.status import read_status
from spinenet.storage import Store

SCANS, SHARD_SIZE = 400, 8


class Onlooker(LogReporter):
    """Counts the futures that Prefect and the flow hold whenever a shard is committed."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store
        self.futures: list[int] = []
        self.pending: list[int] = []

    def shard(self, index: int, states: Mapping[str, int], seconds: float) -> None:
        super().shard(index, states, seconds)
        if index % 5 == 0:
            self.futures.append(sum(isinstance(item, PrefectFuture) for item in gc.get_objects()))
            told = read_status(self.store)
            assert sum(told.states.values()) == SCANS
            self.pending.append(told.states["pending"])


def test_shards_are_submitted_a_few_at_a_time(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.csv"
    rows = [f"s{i},p{i},{'no fat suppression' if i % 10 == 3 else ''}" for i in range(SCANS)]
    manifest.write_text("\n".join(["scan_id,path,exclude", *rows]) + "\n", encoding="utf-8")
    store = Store.at(str(tmp_path / "out"))
    onlooker = Onlooker(store)
    summary = run_cohort(
        str(manifest), store.root, "synthetic", shard_size=SHARD_SIZE, reporter=onlooker, steps=STEPS
    )
    assert summary.states == {"done": 360, "excluded": 40}
    assert read_results(store.root).scans["scan_id"].tolist() == [f"s{i}" for i in range(SCANS)]
    assert len(onlooker.futures) == SCANS // SHARD_SIZE // 5
    # of 50 shards; what has just ended may not have been collected yet
    assert max(onlooker.futures) < 20
    assert onlooker.pending[0] > onlooker.pending[-1] >= 0
    assert json.loads(store.read("_run/run.json"))["about"]["packages"].keys() >= {"torch", "prefect", "dask"}
    again = run_cohort(str(manifest), store.root, "synthetic", reporter=onlooker, steps=STEPS)
    assert (again.n_before, again.states) == (SCANS, summary.states)
