"""The workers of a Dask cluster as the crew of a run: a bounded window of scans, two tasks each."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from distributed import Client, Future, KilledWorker

from flows.clusters.address import CPU, GPU, workers_of
from flows.window import Window
from flows.workers import STEPS, Steps
from spinenet.cohort.attempts import LOOK_S, NO_ANSWER, PATIENCE, Avoided
from spinenet.cohort.checkpoints import Detections
from spinenet.cohort.manifests.manifest import Entry
from spinenet.cohort.rows import Failure
from spinenet.cohort.scan import Orders, Outcome, failed
from spinenet.errors import STOPPED, RunError, Stopped
from spinenet.inference.device_errors import DeviceFailed
from spinenet.readers.sources.presence import Look, look

LOOK_EVERY_S = 5.0
"""Time between two looks at whether workers that scans are meant for are there."""

log = logging.getLogger("spinenet")


@dataclass(frozen=True)
class DaskCrew:
    """The workers of a cluster; see :class:`spinenet.cohort.attempts.Crew`.

    Attributes
    ----------
    window
        Room on the cluster, shared by all shards in flight.
    refuse_if_lost
        Raises RunError where the cluster has lost a class of its workers.
    alone
        Held by the one scan that is done with no other suspect beside it.
    """

    client: Client
    orders: Orders
    window: Window
    stop: threading.Event
    steps: Steps = STEPS
    refuse_if_lost: Callable[[], None] = lambda: None
    alone: threading.Lock = field(default_factory=threading.Lock)

    def refuse_if_over(self) -> None:
        """See :meth:`spinenet.cohort.attempts.Crew.refuse_if_over`."""
        if self.stop.is_set():
            raise Stopped(STOPPED)
        self.refuse_if_lost()

    def wait(self, seconds: float) -> None:
        """See :meth:`spinenet.cohort.attempts.Crew.wait`."""
        self.stop.wait(seconds)

    def outcomes(
        self,
        entries: Sequence[Entry],
        detections: Mapping[str, Detections],
        avoided: Mapping[str, Avoided],
    ) -> Iterator[tuple[Entry, Outcome | None]]:
        """See :meth:`spinenet.cohort.attempts.Crew.outcomes`."""
        yield from _Flight(self, detections, avoided).outcomes(entries)

    def once_alone(self, entry: Entry, detections: Mapping[str, Detections]) -> Outcome | None:
        """See :meth:`spinenet.cohort.attempts.Crew.once_alone`."""
        with self.alone:
            return _Flight(self, detections, {}).once(entry)

    def look(self, path: str, others: Sequence[str]) -> Look:
        """See :meth:`spinenet.cohort.attempts.Crew.look`."""
        future = self.client.submit(look, path, others, resources={CPU: 1}, pure=False, priority=10)
        give_up = time.monotonic() + LOOK_S
        try:
            while not future.done():
                self.refuse_if_over()
                if time.monotonic() > give_up:
                    return NO_ANSWER
                time.sleep(0.02)
            seen: Look = future.result(timeout=PATIENCE)
        except KilledWorker:  # by a scan beside it
            return NO_ANSWER
        except RunError:
            raise
        except Exception as error:
            raise RunError(f"a worker could not look for a scan: {error}") from error
        finally:
            future.release()
        return seen

    def retire(self, worker: str, reason: str) -> None:
        """See :meth:`spinenet.cohort.attempts.Crew.retire`."""
        name, others = worker.rpartition(" ")[0], self.others_than(worker)
        its_own = [address for address, info in self.workers().items() if str(info["name"]) == name]
        if its_own and others:
            log.warning("worker %s is retired: scans failed there by %s, not elsewhere", name, reason)
            self.client.retire_workers(its_own, close_workers=True)

    def others_than(self, worker: str) -> list[str]:
        """Addresses of workers that can do what failed on one; empty if there is no other."""
        name, _, resources = worker.rpartition(" ")
        wanted = set(resources.split("+"))
        return [
            address
            for address, info in self.workers().items()
            if str(info["name"]) != name and wanted <= set(info["resources"])
        ]

    def workers(self) -> Mapping[str, Any]:
        """What the scheduler knows of each worker, by its address.

        Raises
        ------
        RunError
            The scheduler is lost.
        """
        try:
            return workers_of(self.client)
        except (OSError, TimeoutError) as error:
            raise _scheduler_lost() from error


class _Flight:
    """Scans of one shard that are on the cluster.

    Attributes
    ----------
    done
        Futures that have ended, in the order in which they did.
    meant_for
        Addresses of the workers that a future is meant for, where it is not meant for all.
    """

    def __init__(
        self, crew: DaskCrew, detections: Mapping[str, Detections], avoided: Mapping[str, Avoided]
    ) -> None:
        self._crew, self._detections, self._avoided = crew, detections, avoided
        self._done: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self._meant_for: dict[Future, Sequence[str]] = {}

    def outcomes(self, entries: Sequence[Entry]) -> Iterator[tuple[Entry, Outcome | None]]:
        crew, waiting = self._crew, deque(entries)
        flying: dict[Future, Entry] = {}
        try:
            while waiting or flying:
                crew.refuse_if_over()
                room = crew.window.take(len(waiting), 0 if flying else PATIENCE) if waiting else 0
                if room:
                    lot = [waiting.popleft() for _ in range(room)]
                    flying |= zip(self._submit(lot), lot, strict=True)
                if flying:
                    futures, gone = self._next()
                    # what was cancelled below has ended as well
                    ended = [future for future in futures if future in flying]
                    landed = [flying.pop(future) for future in ended]
                    for future in ended:
                        self._meant_for.pop(future, None)
                    crew.window.give(len(landed))
                    if gone:
                        # Nobody else may do what was meant for workers that are gone.
                        crew.client.cancel(ended, force=True)
                    outcomes = [None] * len(ended) if gone else self._results(ended, landed)
                    yield from zip(landed, outcomes, strict=True)
        finally:
            if flying:
                with suppress(Exception):  # the error that ends this is the news
                    crew.client.cancel(list(flying), force=True)
                crew.window.give(len(flying))

    def once(self, entry: Entry) -> Outcome | None:
        (future,) = self._submit([entry])
        try:
            self._next()
            return self._result(future, entry)
        finally:
            future.release()

    def _submit(self, entries: Sequence[Entry]) -> list[Future]:
        """Start both steps of scans; a decoded volume goes from worker to worker."""
        futures: dict[str, Future] = {}
        groups: dict[Avoided, list[Entry]] = {}
        for entry in entries:
            groups.setdefault(self._avoided.get(entry.scan_id, ("", "")), []).append(entry)
        for (kind, worker), group in groups.items():
            others = self._crew.others_than(worker) if worker else []
            outcomes = self._map(group, kind, others)
            futures |= zip((entry.scan_id for entry in group), outcomes, strict=True)
            if others:
                self._meant_for |= dict.fromkeys(outcomes, others)
        ordered = [futures[entry.scan_id] for entry in entries]
        for future in ordered:
            future.add_done_callback(self._done.put)
        return ordered

    def _map(self, entries: Sequence[Entry], kind: str, others: Sequence[str]) -> list[Future]:
        client, steps = self._crew.client, self._crew.steps
        elsewhere: dict[str, Any] = {"workers": others} if others else {}
        orders = [self._crew.orders] * len(entries)
        earlier = [self._detections.get(entry.scan_id) for entry in entries]
        decoded = client.map(
            steps.decode, entries, orders, resources={CPU: 1}, pure=False,
            **(elsewhere if kind == "decode" else {}),
        )  # fmt: skip
        outcomes: list[Future] = client.map(
            steps.infer, decoded, orders, earlier, resources={GPU: 1}, pure=False,
            **(elsewhere if kind == "inference" else {}),
        )  # fmt: skip
        return outcomes

    def _next(self) -> tuple[list[Future], bool]:
        """(futures that have ended, False), or (futures whose workers are all gone, True)."""
        crew, look_at = self._crew, time.monotonic() + LOOK_EVERY_S
        while True:
            crew.refuse_if_over()
            try:
                ended = [self._done.get(timeout=PATIENCE)]
            except queue.Empty:
                if crew.client.status != "running":
                    raise _scheduler_lost() from None
                if self._meant_for and time.monotonic() > look_at:
                    there = crew.workers().keys()
                    gone = [f for f, workers in self._meant_for.items() if there.isdisjoint(workers)]
                    if gone:
                        return gone, True
                    look_at = time.monotonic() + LOOK_EVERY_S
            else:
                # This thread is the only one that takes from the queue.
                while not self._done.empty():
                    ended.append(self._done.get())
                return ended, False

    def _results(self, futures: Sequence[Future], entries: Sequence[Entry]) -> list[Outcome | None]:
        """Results of futures that have ended, fetched together; None for each whose worker died with it."""
        if len(futures) > 1 and all(future.status == "finished" for future in futures):
            # What goes wrong with one of them shows when each is asked for alone.
            with suppress(Exception):
                together: list[Outcome | None] = self._crew.client.gather(list(futures))
                return together
        return [self._result(future, entry) for future, entry in zip(futures, entries, strict=True)]

    def _result(self, future: Future, entry: Entry) -> Outcome | None:
        """The future's result, or None if its worker died with it."""
        if future.status not in ("finished", "error"):
            raise _scheduler_lost()
        try:
            outcome: Outcome = future.result()
        except KilledWorker:
            return None
        except DeviceFailed as error:
            failure = Failure("gpu_failed", error.detail)
            return failed(entry, failure, self._crew.orders, (("inference", error.worker),))
        except Exception as error:
            raise RunError(f"a worker could not do its work: {error}") from error
        return outcome


def _scheduler_lost() -> RunError:
    return RunError("the Dask scheduler was lost; start the run again to go on where it was")
