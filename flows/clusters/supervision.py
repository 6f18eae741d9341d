"""A Dask cluster of this machine: only its owner can connect, and lost workers are restarted."""

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
"""Seconds between two checks of the workers."""
STARTS = 3
"""Failed starts of a worker in a row after which the run is given up."""
PAUSE_S = 2.0
"""Seconds before a worker that failed to start is restarted; doubled each time."""
START_S = 300.0
"""Seconds after which a worker that has not started is killed; a loaded machine may need a minute."""
SILENCE_S = 120.0
"""Seconds without a heartbeat after which a worker counts as frozen and is killed."""
END_S = 60.0
"""Seconds that workers have to shut down when the cluster closes."""

_BEFORE_SPAWN = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    **WORKER_ENVIRONMENT,
}
"""Environment variables of workers, in place of Dask's own, which slow down the release of memory."""

SETTINGS: Mapping[str, Any] = {
    # no retries by Dask: the flow itself retries the scans of a lost worker, one at a time
    "distributed.scheduler.allowed-failures": 0,
    # Dask would close the nanny of a worker that is late for good, and kill workers after this process itself
    # was suspended; the supervisor does both with more care
    "distributed.deploy.lost-worker-timeout": "3650 days",
    "distributed.scheduler.worker-ttl": None,
    "distributed.nanny.pre-spawn-environ": _BEFORE_SPAWN,
    # status pages, which any user of the machine could read
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    # a busy machine answers slowly
    "distributed.comm.timeouts.connect": "120s",
    **ONLY_ENDED,
}

log = logging.getLogger("spinenet")


class Supervisor:
    """Starts local workers, and restarts those that have ended or are frozen.

    Dask's nannies restart only worker processes that have ended: a nanny whose worker does not start closes
    for good, and none notices a frozen process.
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
        """Address of the scheduler, tls://HOST:PORT."""
        return str(self._cluster.scheduler_address)

    def trouble(self) -> str | None:
        """Why a worker is lost for good; None if none is."""
        return self._trouble

    def all_started(self) -> bool:
        """Whether every worker has started at least once."""
        return self._started >= self._specified.keys()

    def wait(self) -> None:
        """Wait until every worker has started.

        Raises
        ------
        RunError
            A worker does not start.
        """
        while not self.all_started():
            if self._trouble is not None:
                raise RunError(self._trouble)
            time.sleep(0.05)

    async def watch(self) -> None:
        """Check and restart the workers until cancelled."""
        self._cluster.worker_spec.update(self._specified)
        before = time.monotonic()
        while self._trouble is None:
            now = time.monotonic()
            try:
                # time during which this process was suspended does not count as waiting for a worker
                self._look(now, min(now - before, 2 * LOOK_S))
            except Exception as error:
                # without the supervisor, lost workers would be neither restarted nor reported
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
        """Start the specified workers that are missing."""
        absent = [name for name in self._specified if name not in self._cluster.workers]
        due = all(now >= self._not_before.get(name, 0.0) for name in absent)
        if absent and due and self._opening is None:
            self._opening = asyncio.ensure_future(self._cluster._correct_state())

    def _take_note(self, error: BaseException | None) -> None:
        if error is not None:
            # the nanny's own error says only that it failed
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
        """Kill workers whose heartbeats do not reach the scheduler, or which it does not know."""
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
    """Start a scheduler and workers that listen on loopback and accept only holders of their certificate.

    The block begins before the workers have started.

    Parameters
    ----------
    workers
        Specifications for :class:`distributed.SpecCluster`, by name.
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
    """Close the cluster within :data:`END_S` seconds, whatever state the workers are in."""
    nannies = list(cluster._created)
    for nanny in nannies:
        # a starting worker does not react to a request to close, and closing would wait for it
        if nanny.process is not None and nanny.process.status == Status.starting and nanny.process.pid:
            _kill(nanny.process.pid)
    try:
        cluster.close(END_S)
    except TimeoutError:
        log.warning("local workers did not end in %.0f seconds and are killed", END_S)
        for nanny in nannies:
            if nanny.pid:
                _kill(nanny.pid)
