"""Scans sent to the cluster and fetched from it: a bounded window of them, two tasks each."""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from distributed import Future, KilledWorker

from flows.clusters.address import CPU, GPU, workers_of
from flows.devices import DeviceFailed
from flows.work import PATIENCE, Work
from flows.workers import Outcome, Trace, version
from spinenet.cohort.checkpoints import Detections
from spinenet.cohort.manifests.manifest import Entry
from spinenet.cohort.rows import Failure, Provenance, failed_rows
from spinenet.errors import RunError

TRIES_ALONE = 3
"""How often a scan whose worker died is tried with no suspect beside it; others may have ended the worker."""

LOOK_EVERY_S = 5.0
"""Between two looks at whether workers that scans are meant for are there."""


def all_of(
    work: Work,
    entries: Sequence[Entry],
    known: Mapping[str, Detections],
    avoided: Mapping[str, tuple[str, str]],
) -> Iterator[tuple[Entry, Outcome | None]]:
    """Each scan with its outcome, as they come; None for one whose worker died with it.

    Parameters
    ----------
    avoided
        By scan_id, the kind of task and the worker that another worker is to be preferred to.
    """
    waiting = deque(entries)
    chosen: dict[Future, Sequence[str]] = {}
    done: queue.SimpleQueue[Future] = queue.SimpleQueue()
    flying: dict[Future, Entry] = {}
    try:
        while waiting or flying:
            work.refuse_if_over()
            room = work.window.take(len(waiting), 0 if flying else PATIENCE) if waiting else 0
            if room:
                lot = [waiting.popleft() for _ in range(room)]
                flying |= zip(_submit(work, lot, known, done, avoided, chosen), lot, strict=True)
            if flying:
                some, gone = _next(done, work, chosen)
                # what was cancelled below has ended as well
                ended = [future for future in some if future in flying]
                landed = [flying.pop(future) for future in ended]
                for future in ended:
                    chosen.pop(future, None)
                work.window.give(len(landed))
                if gone:
                    # Nobody else may do what was meant for workers that are gone.
                    work.client.cancel(ended, force=True)
                outcomes = [None] * len(ended) if gone else _outcomes(work, ended, landed)
                yield from zip(landed, outcomes, strict=True)
    finally:
        if flying:
            with suppress(Exception):  # the error that ends this is the news
                work.client.cancel(list(flying), force=True)
            work.window.give(len(flying))


def _submit(
    work: Work,
    entries: Sequence[Entry],
    known: Mapping[str, Detections],
    done: queue.SimpleQueue[Future],
    avoided: Mapping[str, tuple[str, str]],
    chosen: dict[Future, Sequence[str]],
) -> list[Future]:
    """Start both steps of some scans, two tasks each; a decoded volume goes from worker to worker.

    What is meant for some workers only is added to ``chosen``, with their addresses.
    """
    client = work.client
    futures: list[Future] = []
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        groups.setdefault(avoided.get(entry.scan_id, ("", "")), []).append(entry)
    for (kind, worker), some in groups.items():
        others = _others_than(work, worker) if worker else []
        elsewhere: dict[str, Any] = {"workers": others} if others else {}
        orders = [work.orders] * len(some)
        found = [known.get(entry.scan_id) for entry in some]
        prepared = client.map(
            work.steps.prepare, some, orders, resources={CPU: 1}, pure=False,
            **(elsewhere if kind == "decode" else {}),
        )  # fmt: skip
        outcomes = client.map(
            work.steps.read, prepared, orders, found, resources={GPU: 1}, pure=False,
            **(elsewhere if kind == "inference" else {}),
        )  # fmt: skip
        futures += outcomes
        if others:
            chosen |= dict.fromkeys(outcomes, others)
    by_entry = {id(entry): at for at, entry in enumerate(entry for some in groups.values() for entry in some)}
    ordered = [futures[by_entry[id(entry)]] for entry in entries]
    for future in ordered:
        future.add_done_callback(done.put)
    return ordered


def _others_than(work: Work, worker: str) -> list[str]:
    """Addresses of workers that can do what failed on one; empty if there is no other."""
    name, _, resources = worker.rpartition(" ")
    wanted = set(resources.split("+"))
    return [
        address
        for address, told in workers_there(work).items()
        if str(told["name"]) != name and wanted <= set(told["resources"])
    ]


def _next(
    done: queue.SimpleQueue[Future], work: Work, chosen: Mapping[Future, Sequence[str]]
) -> tuple[list[Future], bool]:
    """(futures that have ended, False), or (futures whose ``chosen`` workers are all gone, True)."""
    look_at = time.monotonic() + LOOK_EVERY_S
    while True:
        work.refuse_if_over()
        try:
            ended = [done.get(timeout=PATIENCE)]
        except queue.Empty:
            if work.client.status != "running":
                raise _lost() from None
            if chosen and time.monotonic() > look_at:
                there = workers_there(work).keys()
                gone = [future for future, workers in chosen.items() if there.isdisjoint(workers)]
                if gone:
                    return gone, True
                look_at = time.monotonic() + LOOK_EVERY_S
        else:
            # This thread is the only one that takes from the queue.
            while not done.empty():
                ended.append(done.get())
            return ended, False


def workers_there(work: Work) -> Mapping[str, Any]:
    """What the scheduler tells of each worker, by its address.

    Raises
    ------
    RunError
        The scheduler is lost.
    """
    try:
        return workers_of(work.client)
    except (OSError, TimeoutError) as error:
        raise _lost() from error


def _lost() -> RunError:
    return RunError("the Dask scheduler was lost; start the run again to go on where it was")


def _outcomes(work: Work, futures: Sequence[Future], entries: Sequence[Entry]) -> list[Outcome | None]:
    """Results of futures that have ended, fetched together; None for each whose worker died with it."""
    if len(futures) > 1 and all(future.status == "finished" for future in futures):
        # What goes wrong with one of them is found, and told, when each is asked for alone.
        with suppress(Exception):
            together: list[Outcome | None] = work.client.gather(list(futures))
            return together
    return [_outcome(work, future, entry) for future, entry in zip(futures, entries, strict=True)]


def _outcome(work: Work, future: Future, entry: Entry) -> Outcome | None:
    """The future's result, or None if its worker died with it."""
    if future.status not in ("finished", "error"):
        raise _lost()
    try:
        outcome: Outcome = future.result()
    except KilledWorker:
        return None
    except DeviceFailed as error:
        return failed_row(work, entry, Failure("gpu_failed", error.detail), (("inference", error.worker),))
    except Exception as error:
        raise RunError(f"a worker could not do its work: {error}") from error
    return outcome


def alone(work: Work, entry: Entry, known: Mapping[str, Detections]) -> Outcome:
    """A scan's outcome, tried with no other suspect beside it."""
    done: queue.SimpleQueue[Future] = queue.SimpleQueue()
    with work.alone:
        started = time.monotonic()
        for _ in range(TRIES_ALONE):
            (future,) = _submit(work, [entry], known, done, {}, {})
            try:
                _next(done, work, {})
                outcome = _outcome(work, future, entry)
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
    return failed_row(work, entry, failure, ())


def failed_row(work: Work, entry: Entry, failure: Failure, trace: Trace) -> Outcome:
    """The outcome of a scan whose worker could not say it."""
    weights = work.orders.weights
    made_by = Provenance(weights.name, weights.fingerprint, version(), "")
    return Outcome(failed_rows(entry, failure, made_by), None, trace)
