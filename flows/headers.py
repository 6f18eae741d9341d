"""The headers below a root, in batches over the workers."""

from __future__ import annotations

import hashlib
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
from flows.prefect_server.observer import observer
from flows.stopping import stoppable
from flows.tasks import About, Done, Tasks
from flows.watch import watched
from spinenet.errors import RunError
from spinenet.index.findings import scattered, to_look_at
from spinenet.index.places import Place, joined
from spinenet.index.survey import Survey, survey_all
from spinenet.index.unfinished import Account
from spinenet.printable import printable
from spinenet.redaction import redacted

FILES_PER_TASK = 1000
"""Files of one task, or one folder if it holds more: a million files are a thousand tasks."""
BATCHES_AHEAD = 3
"""Batches on the cluster for each worker's slot."""
LONGEST_NAME = 80
"""Characters of what a run is called on Prefect's pages."""
PATIENCE = 0.2
"""Seconds between two looks at whether the index is to stop."""

log = logging.getLogger("spinenet")

_Done = queue.SimpleQueue[Future]

Progress = Callable[[int, int], None]
"""Told how many files have been looked at and how many series were found."""


def survey(
    fs: Any,
    base: str,
    root: str,
    out: str,
    account: Account,
    key: bytes,
    *,
    cluster: str,
    progress: Progress,
    prefect: bool,
) -> float:
    """Find out what lies below a root; nothing new needs no cluster.

    Parameters
    ----------
    base
        The root in the filesystem's own spelling.
    out
        The manifest that is made.
    account
        Takes in what is found.
    key
        Secret that hashes PatientID; empty for none.
    cluster, prefect
        As for :func:`flows.cohort.run_cohort`.

    Returns
    -------
    float
        Seconds of walking and reading headers, without starting workers.
    """
    unchanged: set[str] = set()
    started = time.monotonic()
    batches = _batches(to_look_at(fs, base, account.earlier, unchanged))
    first = next(batches, None)
    if first is None:
        account.found.keep(account.earlier, unchanged)
        return time.monotonic() - started
    log.info("starting workers" if cluster == LOCAL else "looking for workers")
    with (
        stoppable(quiet) as stop,
        observer(prefect, log.info) as observing,
        cluster_address(cluster, header_workers) as place,
        observing.started(),
        connected(place) as client,
        watched(place, client, (CPU,)) as watch,
    ):
        slots = wait_for_slots(client, classes=(CPU,)).cpu
        started = time.monotonic()
        work = _Work(client, fs, key, BATCHES_AHEAD * slots, progress, stop, watch.refuse_if_lost)
        shown = redacted(root)
        about = About(
            flow="spinenet-index",
            name=printable(f"index of {shown.rstrip('/').rsplit('/', 1)[-1] or shown}", LONGEST_NAME),
            key=hashlib.sha256(f"{root} {out}".encode()).hexdigest()[:8],
            parameters={"root": shown},
            tags=("spinenet", "index"),
        )
        every = itertools.chain([first], batches)
        observing.run(about, lambda tasks: _body(work, every, account, unchanged, tasks))
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
    """A task for the headers, and one for series that several folders share."""

    def headers() -> Done:
        files = _through_cluster(work, batches, account)
        account.found.keep(account.earlier, unchanged)
        return Done(f"{files} files, {len(account.found.rows)} series", 90.0)

    def scattered_series() -> Done:
        found, count = account.found, 0
        for folders, uids in scattered(found.rows).items():
            place, count = joined(work.fs, folders), count + 1
            done: _Done = queue.SimpleQueue()
            _submit(work, [place], done)
            (result,) = _result(_next(work, done))
            found.replace(uids, folders, result.rows)
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
    """A bounded window of batches, so that memory does not grow with the root; how many files there were."""
    files = flying = 0
    done: _Done = queue.SimpleQueue()
    for batch in batches:
        _submit(work, batch, done)
        flying += 1
        if flying >= work.in_flight:
            files += _take(work, _next(work, done), account, files)
            flying -= 1
    for _ in range(flying):
        files += _take(work, _next(work, done), account, files)
    return files


def _submit(work: _Work, batch: Sequence[Place], done: _Done) -> None:
    future = work.client.submit(survey_all, work.fs, batch, work.key, resources={CPU: 1}, pure=False)
    future.add_done_callback(done.put)


def _next(work: _Work, done: _Done) -> Future:
    """A batch that has ended.

    Raises
    ------
    RunError
        Somebody stopped the index, or the scheduler or all workers are gone.
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
    """Take in what a worker found, tell it, and say how many files that were."""
    results = _result(future)
    for result in results:
        account.found.add(result)
    files = sum(result.n_files for result in results)
    work.progress(before + files, len(account.found.rows))
    account.save_if_due()
    return files


def _result(future: Future) -> list[Survey]:
    """What a worker found. Of an error only the kind is told: its text might quote a header or a path."""
    try:
        results: list[Survey] = future.result()
    except Exception as error:
        raise RunError(f"a worker could not read headers ({type(error).__name__}); start it again") from None
    future.release()
    return results


def quiet(*told: object) -> None:
    """Tell nobody."""
