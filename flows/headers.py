"""Surveys the headers below a root, in batches on the Dask workers."""

from __future__ import annotations

import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from distributed import Client, Future

from flows.clusters.address import CPU, cluster_address, connected, header_workers, wait_for_slots
from flows.clusters.names import LOCAL
from flows.prefect_server.observer import Observer
from flows.stopping import stoppable
from flows.tasks import About, Done, Tasks
from flows.watch import watched
from spinenet.errors import RunError
from spinenet.index.inventory import places_to_survey, scattered
from spinenet.index.places import Place, joined
from spinenet.index.survey import Survey, survey_all
from spinenet.index.unfinished import Account

FILES_PER_TASK = 1000
"""Files in a Dask task (a place is never split): a million files are a thousand tasks."""
BATCHES_AHEAD = 3
"""Batches on the cluster for each worker slot, so that no worker waits for the next one."""
PATIENCE = 0.2
"""Seconds between two checks whether the index was stopped."""

log = logging.getLogger("spinenet")

_Done = queue.SimpleQueue[Future]

Progress = Callable[[int, int], None]
"""Function called with the numbers of files read and of series found so far."""


def survey(
    fs: Any,
    base: str,
    account: Account,
    key: bytes,
    observing: Observer,
    about: About,
    *,
    cluster: str,
    progress: Progress,
) -> float:
    """Survey the places below a root; workers are started only if a place is new or has changed.

    Parameters
    ----------
    fs
        The fsspec filesystem of the root.
    base
        Path of the root on that filesystem.
    account
        Inventory to which the surveys are added.
    key
        Secret key that hashes PatientID; empty for none.
    observing, about
        Who shows the tasks, and what run they are of.
    progress
        Called after each batch.
    cluster
        As for :func:`flows.cohort_run.run_cohort`.

    Returns
    -------
    float
        Seconds spent on walking and reading headers, without the start of the workers.
    """
    unchanged: set[str] = set()
    started = time.monotonic()
    batches = _batches(places_to_survey(fs, base, account.earlier, unchanged))
    first = next(batches, None)
    if first is None:
        account.inventory.keep(account.earlier, unchanged)
        return time.monotonic() - started
    log.info("starting workers" if cluster == LOCAL else "looking for workers")
    with (
        stoppable(quiet) as stop,
        cluster_address(cluster, header_workers) as place,
        observing.started(),
        connected(place) as client,
        watched(place, client, (CPU,)) as watch,
    ):
        slots = wait_for_slots(client, classes=(CPU,)).cpu
        started = time.monotonic()
        work = _Work(client, fs, key, BATCHES_AHEAD * slots, progress, stop, watch.refuse_if_lost)
        all_batches = itertools.chain([first], batches)
        observing.run(about, lambda tasks: _body(work, all_batches, account, unchanged, tasks))
    return time.monotonic() - started


@dataclass(frozen=True)
class _Work:
    client: Client
    fs: Any
    key: bytes
    in_flight: int
    progress: Progress
    stop: threading.Event
    refuse_if_lost: Callable[[], None]


def _body(
    work: _Work,
    batches: Iterator[Sequence[Place]],
    account: Account,
    unchanged: Collection[str],
    tasks: Tasks,
) -> None:
    """Run two Prefect tasks: the headers, then the series whose files lie in several folders."""

    def headers() -> Done:
        files = _through_cluster(work, batches, account)
        account.inventory.keep(account.earlier, unchanged)
        return Done(f"{files} files, {len(account.inventory.rows)} series", 90.0)

    def scattered_series() -> Done:
        inventory, count = account.inventory, 0
        for folders, uids in scattered(inventory.rows).items():
            place, count = joined(work.fs, folders), count + 1
            done: _Done = queue.SimpleQueue()
            _submit(work, [place], done)
            (result,) = _result(_next(work, done))
            inventory.replace(uids, folders, result.rows)
        return Done(f"{count} groups of folders", 100.0)

    tasks.submit("headers", "headers", headers).result()
    tasks.submit("scattered series", "scattered-series", scattered_series).result()


def _batches(places: Iterable[Place]) -> Iterator[Sequence[Place]]:
    batch: list[Place] = []
    files = 0
    for place in places:
        batch.append(place)
        files += len(place.files)
        if files >= FILES_PER_TASK:
            yield batch
            batch, files = [], 0
    if batch:
        yield batch


def _through_cluster(work: _Work, batches: Iterator[Sequence[Place]], account: Account) -> int:
    """Survey batches in a bounded window, so that memory does not grow with the root; the number of files."""
    files = pending = 0
    done: _Done = queue.SimpleQueue()
    for batch in batches:
        _submit(work, batch, done)
        pending += 1
        if pending >= work.in_flight:
            files += _take(work, _next(work, done), account, files)
            pending -= 1
    for _ in range(pending):
        files += _take(work, _next(work, done), account, files)
    return files


def _submit(work: _Work, batch: Sequence[Place], done: _Done) -> None:
    future = work.client.submit(survey_all, work.fs, batch, work.key, resources={CPU: 1}, pure=False)
    future.add_done_callback(done.put)


def _next(work: _Work, done: _Done) -> Future:
    """Wait for a batch that has ended.

    Raises
    ------
    RunError
        The index was stopped, or the scheduler or all workers are lost.
    """
    while True:
        if work.stop.is_set():
            raise RunError("stopped; start it again and it goes on")
        work.refuse_if_lost()
        try:
            return done.get(timeout=PATIENCE)
        except queue.Empty:
            if work.client.status != "running":
                raise RunError("the Dask scheduler was lost; start it again and it goes on") from None


def _take(work: _Work, future: Future, account: Account, before: int) -> int:
    """Add a batch's surveys to the account, report the progress, and return the number of files."""
    results = _result(future)
    for result in results:
        account.inventory.add(result)
    files = sum(result.n_files for result in results)
    work.progress(before + files, len(account.inventory.rows))
    account.save_if_due()
    return files


def _result(future: Future) -> list[Survey]:
    """A batch's surveys. An error shows its type alone, as its text might quote a header or a path."""
    try:
        results: list[Survey] = future.result()
    except Exception as error:
        raise RunError(f"a worker could not read headers ({type(error).__name__}); start it again") from None
    future.release()
    return results


def quiet(*values: object) -> None:
    """Report nothing."""
