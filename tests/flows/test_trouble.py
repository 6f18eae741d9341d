"""Scans that kill or stall their worker: their own row says so, and their neighbours are unharmed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from distributed import Client

from flows.clusters.address import cluster_address, connected, wait_for_slots
from flows.crew import DaskCrew
from flows.watch import WorkerWatch, watched
from flows.window import Window
from flows.workers import STEPS, Steps, decode
from spinenet.cohort.freeze import freeze
from spinenet.cohort.job import Job
from spinenet.cohort.ledger import Ledger
from spinenet.cohort.manifests.manifest import Entry, read_manifest
from spinenet.cohort.plan import Conditions
from spinenet.cohort.scan import Decoded, Orders
from spinenet.cohort.shard import do_shard
from spinenet.cohort.todo import Todo
from spinenet.errors import RunError, Stopped
from spinenet.settings import Settings
from spinenet.storage import Store
from spinenet.timelimit import time_limit
from spinenet.weights import resolve
from spinenet.weights.loaded import WeightsRef
from support.cohorts import small_scan, write


def decode_trouble(entry: Entry, orders: Orders) -> Decoded:
    """Stands in for the decoder: some scans end its process."""
    if entry.scan_id.startswith("poison"):
        os._exit(9)
    return decode(entry, orders)


def stall(path: str, **kwargs: object) -> None:
    """A reader that waits for ever, but in Python."""
    while True:
        time.sleep(0.05)


def decode_stalled(entry: Entry, orders: Orders) -> Decoded:
    """Stands in for a reader whose storage never answers."""
    import spinenet.cohort.scan as steps

    with patch.object(steps, "read_scan", stall):
        return decode(entry, orders)


def decode_stuck(entry: Entry, orders: Orders) -> Decoded:
    """Stands in for a decoder whose compiled code does not come back to Python: no exception reaches it."""
    if entry.scan_id == "stuck":
        with time_limit(1, grace=1):
            never = threading.Lock()
            never.acquire()
            never.acquire()
    return decode(entry, orders)


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


@dataclass(frozen=True)
class Work:
    """A run of one shard, and who does it."""

    job: Job
    crew: DaskCrew

    def do(self) -> Mapping[str, int]:
        """Do the shard."""
        return do_shard(self.job, self.crew, 0)


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
    orders = Orders(ref, Settings(), seconds=seconds)
    ledger = Ledger(store, plan)
    crew = DaskCrew(
        client=client,
        orders=orders,
        window=Window(4),
        stop=threading.Event(),
        steps=steps,
        refuse_if_lost=WATCHES[client.id].refuse_if_lost if client.id in WATCHES else lambda: None,
    )
    return Work(Job(ledger, orders, "detector", Todo([0], {})), crew)


@pytest.mark.timeout(1800)  # four workers are started one after the other
def test_poison_is_given_up_and_its_neighbours_are_not(client: Client, tmp_path: Path) -> None:
    work = work_on(client, tmp_path, ["a", "poison", "b", "c"], steps=Steps(decode_trouble))
    assert work.do() == {"done": 3, "worker_lost": 1}


def test_a_scan_that_takes_too_long_is_stopped(client: Client, tmp_path: Path) -> None:
    work = work_on(client, tmp_path, ["stalled"], seconds=2, steps=Steps(decode_stalled))
    began = time.monotonic()
    assert work.do() == {"time_limit": 1}
    assert time.monotonic() - began < 30


@pytest.mark.timeout(1800)  # four workers are started one after the other
def test_a_scan_that_hangs_in_compiled_code_is_given_up(client: Client, tmp_path: Path) -> None:
    work = work_on(client, tmp_path, ["a", "stuck", "b"], steps=Steps(decode_stuck))
    assert work.do() == {"done": 2, "worker_lost": 1}


def test_a_worker_with_another_version_is_refused(client: Client, tmp_path: Path) -> None:
    work = work_on(client, tmp_path, ["a"])
    work = replace(work, crew=replace(work.crew, orders=replace(work.crew.orders, version="0.0.1")))
    with pytest.raises(RunError, match=r"has spinenet \S+ and the flow 0\.0\.1; install the same on both"):
        work.do()
    assert work.job.ledger.commits() == {}


def test_a_stopped_shard_commits_nothing(client: Client, tmp_path: Path) -> None:
    work = work_on(client, tmp_path, ["a", "b"])
    work.crew.stop.set()
    with pytest.raises(Stopped):
        work.do()
    assert work.job.ledger.commits() == {}
