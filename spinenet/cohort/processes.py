"""Processes of this machine as the crew of a run: some decode ahead, others infer; a crash costs one scan."""

from __future__ import annotations

import math
import multiprocessing
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from spinenet.cohort.attempts import LOOK_S, NO_ANSWER, PATIENCE, Avoided
from spinenet.cohort.checkpoints import Detections
from spinenet.cohort.manifests.manifest import Entry
from spinenet.cohort.process_steps import INFERRER, SIDE_BY_SIDE, Steps, set_up
from spinenet.cohort.rows import Failure
from spinenet.cohort.scan import Decoded, Orders, Outcome, failed
from spinenet.errors import STOPPED, RunError, SpinenetError, Stopped
from spinenet.gpus import gpu_names
from spinenet.inference.device_errors import DeviceFailed
from spinenet.readers.sources.presence import Look, look

T = TypeVar("T")

AHEAD = 2
"""Scans that each process has or that wait for it: the next one is there when one is done."""


_LOST = (BrokenProcessPool, CancelledError)
"""What becomes of a scan whose process ended, by itself or with its pool."""


STEPS = Steps()


class _Pool:
    """Processes that are started when the first scan comes, and anew when one of them has ended."""

    def __init__(self, processes: int, environment: Mapping[str, str]) -> None:
        self._processes, self._environment = processes, environment
        self._pool: ProcessPoolExecutor | None = None

    def submit(self, action: Callable[..., T], *values: Any) -> Future[T]:
        try:
            return self._there().submit(action, *values)
        except BrokenProcessPool:
            self.end()
            return self._there().submit(action, *values)

    def _there(self) -> ProcessPoolExecutor:
        if self._pool is None:
            try:
                self._pool = ProcessPoolExecutor(
                    self._processes,
                    mp_context=multiprocessing.get_context("spawn"),
                    initializer=set_up,
                    initargs=(self._environment, os.getpid()),
                )
            except OSError as error:
                raise RunError(
                    f"processes cannot be started: {error.strerror or error}; /dev/shm must be writable, "
                    "with some room (docker run --shm-size 64m)"
                ) from error
        return self._pool

    def end(self) -> None:
        """End all processes at once, whatever they do."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        processes = list((getattr(pool, "_processes", None) or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            # Python 3.14 has kill_workers() for this
            process.kill()
        for process in processes:
            # the pool's own thread waits for it too: one of the two returns before the end is noted
            while process.is_alive():
                process.join(0.1)


class ProcessCrew:
    """Processes of this machine; see :class:`spinenet.cohort.attempts.Crew`.

    Parameters
    ----------
    decoders, inferrers
        Processes of each kind.
    shared
        Whether inferring processes share the cores, each with one thread; a single one on a GPU does not.
    stop
        Set once the run is to end.
    """

    def __init__(
        self,
        orders: Orders,
        *,
        decoders: int,
        inferrers: int,
        shared: bool = True,
        stop: threading.Event | None = None,
        steps: Steps = STEPS,
    ) -> None:
        self._orders, self._steps = orders, steps
        self._stop = stop or threading.Event()
        self._n_decoders, self._n_inferrers = decoders, inferrers
        without_gpu = {**SIDE_BY_SIDE, "CUDA_VISIBLE_DEVICES": ""}
        of_inference = SIDE_BY_SIDE if shared else {}
        self._decoders = _Pool(decoders, without_gpu)
        self._inferrers = _Pool(inferrers, of_inference)
        self._alone = _Pool(1, of_inference)
        self._looking = _Pool(1, without_gpu)

    def close(self) -> None:
        """End all processes."""
        for pool in (self._decoders, self._inferrers, self._alone, self._looking):
            pool.end()

    def refuse_if_over(self) -> None:
        """See :meth:`spinenet.cohort.attempts.Crew.refuse_if_over`."""
        if self._stop.is_set():
            raise Stopped(STOPPED)

    def wait(self, seconds: float) -> None:
        """See :meth:`spinenet.cohort.attempts.Crew.wait`."""
        self._stop.wait(seconds)

    def retire(self, worker: str, reason: str) -> None:
        """Do nothing: processes of one machine are alike."""

    def look(self, path: str, others: Sequence[str]) -> Look:
        """See :meth:`spinenet.cohort.attempts.Crew.look`."""
        seen = self._looking.submit(look, path, others)
        if not self._ended(seen, LOOK_S):
            self._looking.end()
            return NO_ANSWER
        try:
            return seen.result()
        except _LOST:
            return NO_ANSWER

    def once_alone(self, entry: Entry, detections: Mapping[str, Detections]) -> Outcome | None:
        """See :meth:`spinenet.cohort.attempts.Crew.once_alone`."""
        future = self._alone.submit(self._steps.both, entry, self._orders, detections.get(entry.scan_id))
        self._ended(future)
        return self._outcome(future, entry, self._alone)

    def _ended(self, future: Future[Any], seconds: float = math.inf) -> bool:
        """Whether a future has ended, after waiting so long at the most; raises where the run is to end."""
        give_up = time.monotonic() + seconds
        while not future.done() and time.monotonic() < give_up:
            self.refuse_if_over()
            wait([future], timeout=PATIENCE)
        return future.done()

    def outcomes(
        self,
        entries: Sequence[Entry],
        detections: Mapping[str, Detections],
        avoided: Mapping[str, Avoided],
    ) -> Iterator[tuple[Entry, Outcome | None]]:
        """See :meth:`spinenet.cohort.attempts.Crew.outcomes`; all processes are alike, none is avoided."""
        waiting, ready = deque(entries), deque[Decoded]()
        decoding: dict[Future[Decoded], Entry] = {}
        inferring: dict[Future[Outcome], Entry] = {}
        while waiting or decoding or ready or inferring:
            self.refuse_if_over()
            # Decoded scans are large: no more of them wait than the inferring processes take next.
            while waiting and len(decoding) < AHEAD * self._n_decoders and len(ready) < self._n_inferrers:
                entry = waiting.popleft()
                decoding[self._decoders.submit(self._steps.decode, entry, self._orders)] = entry
            while ready and len(inferring) < AHEAD * self._n_inferrers:
                decoded = ready.popleft()
                earlier = detections.get(decoded.entry.scan_id)
                future = self._inferrers.submit(self._steps.infer, decoded, self._orders, earlier)
                inferring[future] = decoded.entry
            under_way: list[Future[Any]] = [*decoding, *inferring]
            ended = wait(under_way, timeout=PATIENCE, return_when=FIRST_COMPLETED).done
            for decoding_future in [future for future in decoding if future in ended]:
                entry = decoding.pop(decoding_future)
                result = self._decoded(decoding_future)
                if result is None:
                    yield entry, None
                else:
                    ready.append(result)
            for inferring_future in [future for future in inferring if future in ended]:
                entry = inferring.pop(inferring_future)
                yield entry, self._outcome(inferring_future, entry, self._inferrers)

    def _decoded(self, future: Future[Decoded]) -> Decoded | None:
        try:
            return future.result()
        except _LOST:
            return None
        except Exception as error:
            raise RunError(f"a process could not do its work: {error}") from error

    def _outcome(self, future: Future[Outcome], entry: Entry, pool: _Pool) -> Outcome | None:
        """What inference made of a scan; None if its process died with it."""
        try:
            return future.result()
        except _LOST:
            return None
        except DeviceFailed as error:
            # no later work on the device can be right: others that are there are tried again, alone
            pool.end()
            return failed(
                entry, Failure("gpu_failed", error.detail), self._orders, (("inference", INFERRER),)
            )
        except SpinenetError:
            raise
        except Exception as error:
            raise RunError(f"a process could not do its work: {error}") from error


@contextmanager
def process_crew(
    orders: Orders, processes: int, stop: threading.Event | None = None, steps: Steps = STEPS
) -> Iterator[ProcessCrew]:
    """Processes for this machine, which end with the block.

    With a GPU, one process infers and the others decode for it; without one, ``processes`` infer side by
    side, and one decodes for every two of them.

    Parameters
    ----------
    processes
        Such as the cores that this process may use.
    """
    on_gpu = orders.device.startswith("cuda") or (orders.device == "auto" and bool(gpu_names()))
    if on_gpu:
        crew = ProcessCrew(
            orders, decoders=max(1, processes - 1), inferrers=1, shared=False, stop=stop, steps=steps
        )
    else:
        inferrers = max(1, processes)
        crew = ProcessCrew(
            orders, decoders=max(1, inferrers // 2), inferrers=inferrers, stop=stop, steps=steps
        )
    try:
        yield crew
    finally:
        crew.close()
