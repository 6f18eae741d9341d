"""One shard through the cluster: a bounded window of scans in flight, then parts, then the commit."""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from distributed import Client, Future, KilledWorker

from flows.cluster import CPU, GPU, Slots
from flows.progress import Reporter
from flows.workers import Orders, Outcome, prepare, read, version
from spinenet.cohort.checkpoints import (
    Detections,
    detection_key,
    load_detections,
    save_detections,
)
from spinenet.cohort.ledger import Commit, Ledger
from spinenet.cohort.manifest import Entry
from spinenet.cohort.plan import Shard
from spinenet.cohort.rows import Failure, Provenance, ScanRows, excluded_rows, failed_rows
from spinenet.cohort.tables import to_table
from spinenet.errors import RunError

TRIES_ALONE = 2
"""How often a scan whose worker died is tried with no other of its run's suspects beside it."""


class Stopped(RunError):  # noqa: N818 - a wish of the user's, no defect
    """The run was asked to stop; what is committed stays."""


@dataclass(frozen=True)
class Work:
    """What all shards of a run share.

    Attributes
    ----------
    generations
        Generation of each shard's next commit; 0 where absent.
    checkpoints
        Names of the detection checkpoints that were there at the start.
    in_flight
        Scans that one shard may have on the cluster at once.
    """

    client: Client
    ledger: Ledger
    orders: Orders
    detector_digest: str
    checkpoints: Sequence[str]
    generations: Mapping[int, int]
    in_flight: int
    stop: threading.Event
    reporter: Reporter
    alone: threading.Lock = field(default_factory=threading.Lock)


def window(slots: Slots, shards_in_flight: int) -> int:
    """Scans in flight for each shard: twice what the workers hold, over all shards."""
    return max(2, -(-2 * (slots.cpu + slots.gpu) // shards_in_flight))


def do_shard(work: Work, index: int) -> Mapping[str, int]:
    """Do a shard and commit it.

    Returns
    -------
    Mapping
        Its rows by "done", "excluded" or reason.

    Raises
    ------
    Stopped
        The run was asked to stop; nothing of the shard counts.
    RunError
        The cluster or the weights failed, not a scan.
    """
    shard = work.ledger.plan.shard(index)
    settings = {"remove_single_slice": work.orders.settings.remove_single_slice}
    key = detection_key(work.detector_digest, settings, shard.entries)
    known = load_detections(work.ledger.store, work.checkpoints, index, key)
    outcomes = {entry.scan_id: Outcome(excluded_rows(entry)) for entry in shard.entries if entry.excluded}
    for outcome in _through_cluster(work, [entry for entry in shard.entries if not entry.excluded], known):
        scan = outcome.rows.scan
        outcomes[scan["scan_id"]] = outcome
        work.reporter.scan(scan["scan_id"], scan["reason"] if scan["status"] == "failed" else None)
    found = {scan_id: o.detections for scan_id, o in outcomes.items() if o.detections is not None}
    if found.keys() != known.keys():
        save_detections(work.ledger.store, index, key, dict(sorted(found.items())))
    return _commit(work, shard, outcomes)


def _commit(work: Work, shard: Shard, outcomes: Mapping[str, Outcome]) -> Mapping[str, int]:
    ordered = [outcomes[entry.scan_id] for entry in shard.entries]
    rows = [outcome.rows for outcome in ordered]
    parts = work.ledger.stage(
        shard.index,
        {
            "scans": to_table("scans", [r.scan for r in rows], shard.carried),
            "vertebrae": to_table("vertebrae", [row for r in rows for row in r.vertebrae]),
            "grades": to_table("grades", [row for r in rows for row in r.grades]),
        },
    )
    states = Counter(_state(r) for r in rows)
    workers: dict[str, Counter[str]] = {}
    for kind, worker in (step for outcome in ordered for step in outcome.trace):
        workers.setdefault(kind, Counter())[worker] += 1
    generation = work.generations.get(shard.index, 0)
    work.ledger.commit(
        Commit(shard.index, generation, parts, dict(states), {k: dict(v) for k, v in workers.items()})
    )
    return states


def _state(rows: ScanRows) -> str:
    status = rows.scan["status"]
    return str(rows.scan["reason"] if status == "failed" else status)


def _through_cluster(
    work: Work, entries: Sequence[Entry], known: Mapping[str, Detections]
) -> Iterator[Outcome]:
    """Outcomes as they come; those whose worker died last, each tried alone."""
    waiting, suspects = list(reversed(entries)), []
    done: queue.SimpleQueue[Future] = queue.SimpleQueue()
    flying: dict[Future, Entry] = {}
    try:
        while waiting or flying:
            while waiting and len(flying) < work.in_flight:
                entry = waiting.pop()
                flying[_submit(work, entry, known, done)] = entry
            future = _next(done, work)
            entry = flying.pop(future)
            outcome = _outcome(future)
            if outcome is None:
                suspects.append(entry)
            else:
                yield outcome
        for entry in suspects:
            yield _alone(work, entry, known)
    finally:
        if flying:
            work.client.cancel(list(flying), force=True)


def _submit(
    work: Work, entry: Entry, known: Mapping[str, Detections], done: queue.SimpleQueue[Future]
) -> Future:
    """Start both steps of a scan; the decoded volume goes from worker to worker."""
    client, name = work.client, entry.scan_id
    prepared = client.submit(prepare, entry, work.orders, resources={CPU: 1}, pure=False)
    future = client.submit(read, prepared, work.orders, known.get(name), resources={GPU: 1}, pure=False)
    future.add_done_callback(done.put)
    return future


def _next(done: queue.SimpleQueue[Future], work: Work) -> Future:
    while True:
        if work.stop.is_set():
            raise Stopped("the run was stopped; start it again to go on where it was")
        try:
            return done.get(timeout=0.5)
        except queue.Empty:
            if work.client.status != "running":
                raise RunError(
                    "the Dask scheduler was lost; start the run again to go on where it was"
                ) from None


def _outcome(future: Future) -> Outcome | None:
    """The future's result, or None if its worker died with it."""
    if future.status == "finished":
        outcome: Outcome = future.result()
        return outcome
    if future.status != "error":
        raise RunError("the Dask scheduler was lost; start the run again to go on where it was")
    error = future.exception()
    if isinstance(error, KilledWorker):
        return None
    raise RunError(f"a worker could not do its work: {error}") from error


def _alone(work: Work, entry: Entry, known: Mapping[str, Detections]) -> Outcome:
    done: queue.SimpleQueue[Future] = queue.SimpleQueue()
    with work.alone:
        started = time.monotonic()
        for _ in range(TRIES_ALONE):
            future = _submit(work, entry, known, done)
            try:
                outcome = _outcome(_next(done, work))
            finally:
                future.release()
            if outcome is not None:
                return outcome
        took = time.monotonic() - started
    if took > TRIES_ALONE * work.orders.seconds:
        failure = Failure("time_limit", f"did not stop after {work.orders.seconds:g} seconds and was ended")
    else:
        failure = Failure(
            "worker_lost", f"the worker died each time it had the scan, {TRIES_ALONE} times alone"
        )
    weights = work.orders.weights
    made_by = Provenance(weights.name, weights.fingerprint, version(), "")
    return Outcome(failed_rows(entry, failure, made_by))
