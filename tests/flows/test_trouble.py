"""Scans that kill or stall their worker: their own row says so, and their neighbours are unharmed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from distributed import Client

from flows.clusters.address import cluster_address, connected, wait_for_slots
from flows.progress import LogReporter
from flows.shards import do_shard
from flows.timelimit import time_limit
from flows.watch import WorkerWatch, watched
from flows.window import Window
from flows.work import Stopped, Work
from flows.workers import STEPS, Orders, Prepared, Steps, WeightsRef, prepare
from spinenet.cohort.freeze import freeze
from spinenet.cohort.ledger import Ledger
from spinenet.cohort.manifests.manifest import Entry, read_manifest
from spinenet.cohort.plan import Conditions
from spinenet.errors import RunError
from spinenet.settings import Settings
from spinenet.storage import Store
from spinenet.weights import resolve
from support.cohorts import small_scan, write


def prepare_trouble(entry: Entry, orders: Orders) -> Prepared:
    """Stands in for the decoder: some scans end its process."""
    if entry.scan_id.startswith("poison"):
        os._exit(9)
    return prepare(entry, orders)


def stall(path: str, **kwargs: object) -> None:
    """A reader that waits for ever, but in Python."""
    while True:
        time.sleep(0.05)


def prepare_stalled(entry: Entry, orders: Orders) -> Prepared:
    """Stands in for a reader whose storage never answers."""
    import flows.workers

    with patch.object(flows.workers, "read_scan", stall):
        return prepare(entry, orders)


def prepare_stuck(entry: Entry, orders: Orders) -> Prepared:
    """Stands in for a decoder whose compiled code does not come back to Python: no exception reaches it."""
    if entry.scan_id == "stuck":
        with time_limit(1, grace=1):
            never = threading.Lock()
            never.acquire()
            never.acquire()
    return prepare(entry, orders)


WATCHES: dict[str, WorkerWatch] = {}
"""Of clients, by their id: what is sent through one ends where its workers are lost for good."""


@contextmanager
def local_workers(workers: Callable[[], dict[str, Any]] | None = None) -> Iterator[Client]:
    """A client of local workers, which are watched as those of a run are."""
    with (
        cluster_address("local", workers) as place,
        connected(place) as client,
        watched(place, client) as watch,
    ):
        wait_for_slots(client)
        WATCHES[client.id] = watch
        yield client


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with local_workers() as client:
        yield client


def work_on(
    client: Client,
    folder: Path,
    names: list[str],
    seconds: float = 300,
    steps: Steps = STEPS,
    out: Path | None = None,
    write_scans: bool = True,
) -> Work:
    """A run of one shard over scans of these names."""
    for name in names if write_scans else ():
        write(folder / name, small_scan(1), name)
    manifest = folder / "manifest.csv"
    manifest.write_text("\n".join(["scan_id,path", *(f"{n},{n}" for n in names)]) + "\n", encoding="utf-8")
    bundle = resolve("synthetic")
    ref = WeightsRef("synthetic", bundle.name, bundle.fingerprint)
    conditions = Conditions(ref.name, ref.fingerprint, bundle.digests, {})
    store = Store.at(str(out or folder / "out"))
    plan = freeze(store, read_manifest(str(manifest)), conditions, shard_size=len(names), about={})
    return Work(
        client=client,
        ledger=Ledger(store, plan),
        orders=Orders(ref, Settings(), seconds=seconds),
        detector_digest="detector",
        checkpoints={},
        generations={},
        window=Window(4),
        stop=threading.Event(),
        reporter=LogReporter(),
        steps=steps,
        refuse_if_lost=WATCHES[client.id].refuse_if_lost if client.id in WATCHES else lambda: None,
    )


@pytest.mark.timeout(1800)  # four workers are started one after the other
def test_poison_is_given_up_and_its_neighbours_are_not(client: Client, tmp_path: Path) -> None:
    work = work_on(client, tmp_path, ["a", "poison", "b", "c"], steps=Steps(prepare_trouble))
    assert do_shard(work, 0) == {"done": 3, "worker_lost": 1}


def test_a_scan_that_takes_too_long_is_stopped(client: Client, tmp_path: Path) -> None:
    work = work_on(client, tmp_path, ["stalled"], seconds=2, steps=Steps(prepare_stalled))
    began = time.monotonic()
    assert do_shard(work, 0) == {"time_limit": 1}
    assert time.monotonic() - began < 30


@pytest.mark.timeout(1800)  # four workers are started one after the other
def test_a_scan_that_hangs_in_compiled_code_is_given_up(client: Client, tmp_path: Path) -> None:
    work = work_on(client, tmp_path, ["a", "stuck", "b"], steps=Steps(prepare_stuck))
    assert do_shard(work, 0) == {"done": 2, "worker_lost": 1}


def test_a_worker_with_another_version_is_refused(client: Client, tmp_path: Path) -> None:
    work = work_on(client, tmp_path, ["a"])
    work = replace(work, orders=replace(work.orders, version="0.0.1"))
    with pytest.raises(RunError, match=r"has spinenet \S+ and the flow 0\.0\.1; install the same on both"):
        do_shard(work, 0)
    assert work.ledger.commits() == {}


def test_a_stopped_shard_commits_nothing(client: Client, tmp_path: Path) -> None:
    work = work_on(client, tmp_path, ["a", "b"])
    work.stop.set()
    with pytest.raises(Stopped):
        do_shard(work, 0)
    assert work.ledger.commits() == {}
