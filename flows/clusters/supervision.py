"""A Dask cluster of this machine: only its owner is let in, and a worker that is lost is started anew."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import dask
from distributed import Nanny, Scheduler, Security, SpecCluster
from distributed.core import Status

from flows.clusters.worker_memory import ONLY_ENDED
from spinenet.errors import RunError
from spinenet.memory import WORKER_ENVIRONMENT

LOOK_S = 1.0
"""Seconds between two looks at the workers."""
STARTS = 3
"""How often in a row a worker may fail to start until the run is given up."""
PAUSE_S = 2.0
"""Before a worker that has failed to start is started anew; twice as long each time."""
START_S = 300.0
"""A worker that takes longer to start is ended; a machine under load may well need a minute."""
SILENCE_S = 120.0
"""A worker that is not heard of for so long is frozen, and ended."""
END_S = 60.0
"""How long workers get to end in order when the cluster closes."""

_BEFORE_SPAWN = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    **WORKER_ENVIRONMENT,
}
"""Environment that workers start with; Dask sets the same, but for what becomes of freed memory."""

SETTINGS: Mapping[str, Any] = {
    # No second try by Dask: the flow itself tries again, one scan at a time, what a lost worker held.
    "distributed.scheduler.allowed-failures": 0,
    # Dask would close the nanny of a worker that is not back in time, for good; and end workers after this
    # process itself stood still. The supervisor does both with more care.
    "distributed.deploy.lost-worker-timeout": "3650 days",
    "distributed.scheduler.worker-ttl": None,
    "distributed.nanny.pre-spawn-environ": _BEFORE_SPAWN,
    # Pages of state, which any user of the machine could read.
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    # A busy machine takes its time to answer.
    "distributed.comm.timeouts.connect": "120s",
    **ONLY_ENDED,
}

log = logging.getLogger("spinenet")


class Supervisor:
    """Starts local workers, and starts anew those that have ended or stand still.

    Nannies do the same for a worker process whose end they see; a nanny whose worker does not start closes
    for good, and none notices a process that is frozen.
    """

    def __init__(self, cluster: SpecCluster, workers: Mapping[str, Any], security: Security) -> None:
        self.security = security
        self._cluster = cluster
        self._specified = dict(workers)
        self._started: set[str] = set()
        self._failed: Counter[str] = Counter()
        self._not_before: dict[str, float] = {}
        self._opening: asyncio.Task[None] | None = None
        self._starting: dict[int, float] = {}
        self._silent: dict[str, tuple[tuple[int, float | None], float]] = {}
        self._trouble: str | None = None
        self._last_error = "its process ended"

    @property
    def address(self) -> str:
        """Of the scheduler, tls://."""
        return str(self._cluster.scheduler_address)

    def trouble(self) -> str | None:
        """Why there is a worker that will not be there, or None."""
        return self._trouble

    def all_started(self) -> bool:
        """Whether each worker has been there at least once."""
        return self._started >= self._specified.keys()

    def wait(self) -> None:
        """Return once each worker has been there.

        Raises
        ------
        RunError
            One does not start.
        """
        while not self.all_started():
            if self._trouble is not None:
                raise RunError(self._trouble)
            time.sleep(0.05)

    async def watch(self) -> None:
        """Look after the workers until this is cancelled."""
        self._cluster.worker_spec.update(self._specified)
        before = time.monotonic()
        while self._trouble is None:
            now = time.monotonic()
            try:
                # A process that was stopped itself has not waited for anybody meanwhile.
                self._look(now, min(now - before, 2 * LOOK_S))
            except Exception as error:
                # Nobody would replace a lost worker, and nobody would say so.
                log.info("the supervisor of local workers failed", exc_info=True)
                self._trouble = f"the local workers cannot be looked after: {error!r}"
            before = now
            await asyncio.sleep(LOOK_S / 2 if not self.all_started() else LOOK_S)

    def _look(self, now: float, passed: float) -> None:
        if self._opening is not None and self._opening.done():
            self._take_note(self._opening.exception())
            self._opening = None
        nannies: dict[str, Nanny] = self._cluster.workers
        for name, nanny in list(nannies.items()):
            if nanny.status in (Status.closed, Status.failed):
                del nannies[name]
                self._count_failure(name, now)
            elif nanny.status == Status.running and nanny.process and nanny.process.status == Status.running:
                self._started.add(name)
                self._failed.pop(name, None)
        self._end_slow_starts(passed)
        self._end_frozen(passed)
        self._open(now)

    def _open(self, now: float) -> None:
        """Start what is specified and not there."""
        absent = [name for name in self._specified if name not in self._cluster.workers]
        due = all(now >= self._not_before.get(name, 0.0) for name in absent)
        if absent and due and self._opening is None:
            self._opening = asyncio.ensure_future(self._cluster._correct_state())

    def _take_note(self, error: BaseException | None) -> None:
        if error is not None:
            # Dask's nanny itself says no more than that it failed
            self._last_error = repr(error.__cause__ or error)
            log.info("a local worker did not start: %s", self._last_error)

    def _count_failure(self, name: str, now: float) -> None:
        self._failed[name] += 1
        self._not_before[name] = now + PAUSE_S * 2 ** self._failed[name]
        if self._failed[name] >= STARTS:
            self._trouble = f"the local worker {name} does not start, {STARTS} times: {self._last_error}"

    def _end_slow_starts(self, passed: float) -> None:
        starting = {}
        for nanny in self._cluster._created:
            process = nanny.process
            if process is not None and process.status == Status.starting and process.pid:
                starting[process.pid] = self._starting.get(process.pid, 0.0) + passed
        for pid, seconds in starting.items():
            if seconds > START_S:
                log.warning("a local worker has not started in %.0f seconds and is ended", seconds)
                _kill(pid)
        self._starting = starting

    def _end_frozen(self, passed: float) -> None:
        """End workers whose heartbeats the scheduler does not get, or which it does not know."""
        silent = {}
        scheduler: Any = self._cluster.scheduler
        seen = {str(worker.name): worker.last_seen for worker in scheduler.workers.values()}
        for name, nanny in self._cluster.workers.items():
            process = nanny.process
            if process is None or process.status != Status.running or not process.pid:
                continue
            now = (process.pid, seen.get(str(name)))
            last, seconds = self._silent.get(name, (now, 0.0))
            seconds = seconds + passed if now == last else 0.0
            silent[name] = (now, seconds)
            if seconds > SILENCE_S:
                log.warning("the local worker %s is silent for %.0f s and is ended", name, seconds)
                _kill(process.pid)
        self._silent = silent


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@contextmanager
def local_cluster(workers: Mapping[str, Any]) -> Iterator[Supervisor]:
    """A scheduler and workers that listen at loopback only, and talk to holders of their certificate only.

    The workers are not waited for.

    Parameters
    ----------
    workers
        As :class:`distributed.SpecCluster` takes them, by name.
    """
    security = Security.temporary()
    scheduler = {
        "cls": Scheduler,
        "options": {
            "host": "127.0.0.1",
            "port": 0,
            "protocol": "tls://",
            "security": security,
            "dashboard": False,
            "dashboard_address": "127.0.0.1:0",
        },
    }
    environment = {name: os.environ.get(name) for name in (*_BEFORE_SPAWN, "PYTHONHASHSEED")}
    secured = {name: _with(spec, security) for name, spec in workers.items()}
    with dask.config.set(SETTINGS):
        cluster = SpecCluster(workers={}, scheduler=scheduler, security=security, silence_logs=50)
        supervisor = Supervisor(cluster, secured, security)
        loop: Any = cluster.loop
        watching = asyncio.run_coroutine_threadsafe(supervisor.watch(), loop.asyncio_loop)
        try:
            yield supervisor
        finally:
            watching.cancel()
            _close(cluster)
            for name, value in environment.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def _with(spec: Mapping[str, Any], security: Security) -> dict[str, Any]:
    options = {"security": security, "protocol": "tls://", **spec["options"]}
    return {**spec, "options": options}


def _close(cluster: SpecCluster) -> None:
    """Close within a time, whatever state the workers are in."""
    nannies = list(cluster._created)
    for nanny in nannies:
        # one that is starting could not be told to end, and would be waited for
        if nanny.process is not None and nanny.process.status == Status.starting and nanny.process.pid:
            _kill(nanny.process.pid)
    try:
        cluster.close(END_S)
    except TimeoutError:
        log.warning("local workers did not end in %.0f seconds and are killed", END_S)
        for nanny in nannies:
            if nanny.pid:
                _kill(nanny.pid)
