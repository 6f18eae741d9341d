"""A manifest of many shards through the real flow, with tasks that do nothing."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from prefect.futures import PrefectConcurrentFuture

from flows.cohort_run import Way, run_cohort
from flows.progress import LogReporter
from spinenet.cohort.request import RunRequest
from spinenet.cohort.results import read_results
from spinenet.cohort.status import read_status
from spinenet.storage import Store
from support.no_op_steps import STEPS

SCANS, SHARD_SIZE = 400, 8


class Onlooker(LogReporter):
    """Counts the futures that Prefect and the flow hold whenever a shard is committed.

    ``made`` refers to all futures weakly: to ask the garbage collector for its objects would break a tuple
    that another thread is just making.
    """

    def __init__(self, store: Store, made: Sequence[weakref.ref[PrefectConcurrentFuture[Any]]]) -> None:
        super().__init__()
        self.store, self.made = store, made
        self.futures: list[int] = []
        self.pending: list[int] = []

    def shard(self, index: int, states: Mapping[str, int], seconds: float) -> None:
        super().shard(index, states, seconds)
        if index % 5 == 0:
            gc.collect()
            self.futures.append(sum(future() is not None for future in list(self.made)))
            told = read_status(self.store)
            assert sum(told.states.values()) == SCANS
            self.pending.append(told.states["pending"])


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[PrefectConcurrentFuture[Any]]]:
    """Refers weakly to each future of Prefect that is made."""
    made: list[weakref.ref[PrefectConcurrentFuture[Any]]] = []
    make = PrefectConcurrentFuture.__init__

    def noted(self: PrefectConcurrentFuture[Any], *given: Any, **named: Any) -> None:
        make(self, *given, **named)
        made.append(weakref.ref(self))

    monkeypatch.setattr(PrefectConcurrentFuture, "__init__", noted)
    return made


def test_shards_are_submitted_a_few_at_a_time(
    tmp_path: Path, made: list[weakref.ref[PrefectConcurrentFuture[Any]]]
) -> None:
    manifest = tmp_path / "manifest.csv"
    rows = [f"s{i},p{i},{'no fat suppression' if i % 10 == 3 else ''}" for i in range(SCANS)]
    manifest.write_text("\n".join(["scan_id,path,exclude", *rows]) + "\n", encoding="utf-8")
    store = Store.at(str(tmp_path / "out"))
    onlooker = Onlooker(store, made)
    request = RunRequest(manifest=str(manifest), out=store.root, weights="synthetic", shard_size=SHARD_SIZE)
    summary = run_cohort(request, Way(steps=STEPS), onlooker)
    assert summary.states == {"done": 360, "excluded": 40}
    assert read_results(store.root).scans["scan_id"].tolist() == [f"s{i}" for i in range(SCANS)]
    assert len(made) == SCANS // SHARD_SIZE
    assert len(onlooker.futures) == SCANS // SHARD_SIZE // 5
    # of 50 shards; what has just ended may not have been collected yet
    assert max(onlooker.futures) < 10, "of 50 shards"
    assert onlooker.pending[0] > onlooker.pending[-1] >= 0
    assert json.loads(store.read("_run/run.json"))["about"]["packages"].keys() >= {"torch", "prefect", "dask"}
    again = run_cohort(request, Way(steps=STEPS), onlooker)
    assert (again.n_before, again.states) == (SCANS, summary.states)
