"""Whether each class of workers is still there: scans that wait for one that is gone would wait for ever."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from distributed import Client

from flows.clusters.address import ANSWER_S, CPU, GPU, Cluster, offered_by
from spinenet.errors import RunError

PATIENCE_S = 300.0
"""A class of workers without any for so long ends the run; a new worker may have to be queued for."""
TOLD_AFTER_S = 15.0
"""Without a worker of a class, until that is told: a worker that died is often back before."""
LOOK_S = 2.0
"""Seconds between two looks."""

SCHEDULER = "scheduler"
"""What is waited for where the scheduler itself does not answer."""

log = logging.getLogger("spinenet")


class WorkerWatch:
    """What a run lacks, and since when.

    Parameters
    ----------
    patience
        Seconds that a class of workers may be empty, or the scheduler silent.
    """

    def __init__(self, cluster: Cluster, client: Client, classes: Sequence[str], patience: float) -> None:
        self._cluster, self._client, self._classes, self._patience = cluster, client, classes, patience
        self._lacking: dict[str, float] = {}
        self._told: set[str] = set()
        self._over: str | None = None

    def refuse_if_lost(self) -> None:
        """Return while there are workers, or may be again.

        Raises
        ------
        RunError
            A class of workers has been empty for too long, or will be for good.
        """
        trouble = self._over or self._cluster.trouble()
        if trouble is not None:
            raise RunError(f"{trouble}; start the run again to go on where it was")

    def look(self, passed: float) -> None:
        """Ask the scheduler what there is, ``passed`` seconds after the look before."""
        try:
            offered = offered_by(self._client, ANSWER_S)
        except TimeoutError:
            lacking = {SCHEDULER}
        except OSError:
            # a connection that is lost is told by the client's own state
            return
        else:
            lacking = {resource for resource in self._classes if offered[resource] < 1}
        self._lacking = {what: self._lacking.get(what, 0.0) + passed for what in lacking}
        for what in self._told - lacking:
            log.warning("%s again; the run goes on", _there_is(what))
        self._told &= lacking
        for what, seconds in self._lacking.items():
            if seconds >= TOLD_AFTER_S and what not in self._told:
                self._told.add(what)
                log.warning("%s; waiting for up to %.0f seconds", _there_is_no(what), self._patience)
            if seconds >= self._patience:
                self._over = f"{_there_is_no(what)}, for {self._patience:.0f} seconds"


def _there_is(what: str) -> str:
    if what == SCHEDULER:
        return "the Dask scheduler answers"
    return f"there is a worker with the resource {what}"


def _there_is_no(what: str) -> str:
    if what == SCHEDULER:
        return "the Dask scheduler does not answer"
    return f"there is no worker left with the resource {what}"


@contextmanager
def watched(
    cluster: Cluster,
    client: Client,
    classes: Sequence[str] = (CPU, GPU),
) -> Iterator[WorkerWatch]:
    """Look at the workers now and then during the block."""
    watch = WorkerWatch(cluster, client, classes, PATIENCE_S)
    ended = threading.Event()

    def now_and_then() -> None:
        before = time.monotonic()
        while not ended.wait(LOOK_S) and client.status == "running":
            now = time.monotonic()
            # A process that was stopped itself has not waited for anybody meanwhile.
            watch.look(min(now - before, LOOK_S + ANSWER_S))
            before = now

    thread = threading.Thread(target=now_and_then, name="workers", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        ended.set()
        thread.join()
