"""One shard through the cluster: a bounded window of scans in flight, then parts, then the commit."""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from distributed import Client, Future, KilledWorker

from flows.cluster import CPU, GPU
from flows.progress import Reporter
from flows.window import Window
from flows.workers import STEPS, Orders, Outcome, Steps, version
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

PATIENCE = 0.5
"""Seconds between two looks at whether the run is to stop."""


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
        Names of each shard's detection checkpoints that were there at the start.
    window
        Room on the cluster, shared by all shards.
    """

    client: Client
    ledger: Ledger
    orders: Orders
    detector_digest: str
    checkpoints: Mapping[int, Sequence[str]]
    generations: Mapping[int, int]
    window: Window
    stop: threading.Event
    reporter: Reporter
    steps: Steps = STEPS
    alone: threading.Lock = field(default_factory=threading.Lock)


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
    began = time.monotonic()
    shard = work.ledger.plan.shard(index)
    settings = {"remove_single_slice": work.orders.settings.remove_single_slice}
    key = detection_key(work.detector_digest, settings, shard.entries)
    known = load_detections(work.ledger.store, work.checkpoints.get(index, ()), index, key)
    outcomes = {entry.scan_id: Outcome(excluded_rows(entry)) for entry in shard.entries if entry.excluded}
    for outcome in _through_cluster(work, [entry for entry in shard.entries if not entry.excluded], known):
        scan = outcome.rows.scan
        outcomes[scan["scan_id"]] = outcome
        work.reporter.scan(scan["scan_id"], scan["reason"] if scan["status"] == "failed" else None)
    found = {scan_id: o.detections for scan_id, o in outcomes.items() if o.detections is not None}
    if found.keys() != known.keys():
        save_detections(work.ledger.store, index, key, dict(sorted(found.items())))
    return _commit(work, shard, outcomes, began)


def _commit(work: Work, shard: Shard, outcomes: Mapping[str, Outcome], began: float) -> Mapping[str, int]:
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
    flags = Counter(flag for r in rows if r.scan["status"] == "done" for flag in r.scan["flags"])
    workers: dict[str, Counter[str]] = {}
    for kind, worker in (step for outcome in ordered for step in outcome.trace):
        workers.setdefault(kind, Counter())[worker] += 1
    commit = Commit(
        shard=shard.index,
        generation=work.generations.get(shard.index, 0),
        parts=parts,
        states=dict(states),
        flags=dict(flags),
        workers={kind: dict(counts) for kind, counts in workers.items()},
        at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        seconds=round(time.monotonic() - began, 3),
    )
    work.ledger.commit(commit)
    return states


def _state(rows: ScanRows) -> str:
    status = rows.scan["status"]
    return str(rows.scan["reason"] if status == "failed" else status)


def _through_cluster(
    work: Work, entries: Sequence[Entry], known: Mapping[str, Detections]
) -> Iterator[Outcome]:
    """Outcomes as they come; those whose worker died last, each tried alone."""
    waiting, suspects = deque(entries), []
    done: queue.SimpleQueue[Future] = queue.SimpleQueue()
    flying: dict[Future, Entry] = {}
    try:
        while waiting or flying:
            _refuse_if_over(work)
            room = work.window.take(len(waiting), 0 if flying else PATIENCE) if waiting else 0
            if room:
                some = [waiting.popleft() for _ in range(room)]
                flying |= zip(_submit(work, some, known, done), some, strict=True)
            if flying:
                ended = _next(done, work)
                landed = [flying.pop(future) for future in ended]
                work.window.give(len(landed))
                for entry, outcome in zip(landed, _outcomes(work.client, ended), strict=True):
                    if outcome is None:
                        suspects.append(entry)
                    else:
                        yield outcome
        for entry in suspects:
            yield _alone(work, entry, known)
    finally:
        if flying:
            work.client.cancel(list(flying), force=True)
            work.window.give(len(flying))


def _submit(
    work: Work, entries: Sequence[Entry], known: Mapping[str, Detections], done: queue.SimpleQueue[Future]
) -> list[Future]:
    """Start both steps of some scans, two tasks each; a decoded volume goes from worker to worker."""
    client, orders = work.client, [work.orders] * len(entries)
    found = [known.get(entry.scan_id) for entry in entries]
    prepared = client.map(work.steps.prepare, entries, orders, resources={CPU: 1}, pure=False)
    futures: list[Future] = client.map(
        work.steps.read, prepared, orders, found, resources={GPU: 1}, pure=False
    )
    for future in futures:
        future.add_done_callback(done.put)
    return futures


def _refuse_if_over(work: Work) -> None:
    if work.stop.is_set():
        raise Stopped("the run was stopped; start it again to go on where it was")


def _next(done: queue.SimpleQueue[Future], work: Work) -> list[Future]:
    """All futures that have ended, at least one."""
    while True:
        _refuse_if_over(work)
        try:
            ended = [done.get(timeout=PATIENCE)]
        except queue.Empty:
            if work.client.status != "running":
                raise _lost() from None
        else:
            # This thread is the only one that takes from the queue.
            while not done.empty():
                ended.append(done.get())
            return ended


def _lost() -> RunError:
    return RunError("the Dask scheduler was lost; start the run again to go on where it was")


def _outcomes(client: Client, futures: Sequence[Future]) -> list[Outcome | None]:
    """Results of futures that have ended, fetched together; None for each whose worker died with it."""
    if len(futures) > 1 and all(future.status == "finished" for future in futures):
        # What goes wrong with one of them is found, and told, when each is asked for alone.
        with suppress(Exception):
            together: list[Outcome | None] = client.gather(list(futures))
            return together
    return [_outcome(future) for future in futures]


def _outcome(future: Future) -> Outcome | None:
    """The future's result, or None if its worker died with it."""
    if future.status not in ("finished", "error"):
        raise _lost()
    try:
        outcome: Outcome = future.result()
    except KilledWorker:
        return None
    except Exception as error:
        raise RunError(f"a worker could not do its work: {error}") from error
    return outcome


def _alone(work: Work, entry: Entry, known: Mapping[str, Detections]) -> Outcome:
    done: queue.SimpleQueue[Future] = queue.SimpleQueue()
    with work.alone:
        started = time.monotonic()
        for _ in range(TRIES_ALONE):
            (future,) = _submit(work, [entry], known, done)
            try:
                outcome = _outcome(*_next(done, work))
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
