"""A run's body and its tasks, whoever has them done and whoever is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class About:
    """What a run is shown as.

    Attributes
    ----------
    flow
        What kind of run it is.
    name
        What runs, for people.
    key
        Lower-case letters, digits and dashes that no other run has; of its artifacts.
    parameters, tags
        As Prefect shows them.
    tables
        Where the results lie.
    threads
        Tasks at once.
    """

    flow: str
    name: str
    key: str
    parameters: Mapping[str, str]
    tags: tuple[str, ...] = ()
    tables: str = ""
    threads: int = 1


class Tasks(Protocol):
    """Where the body of a run has its tasks done, and what it tells of them."""

    def submit(self, kind: str, name: str, action: Callable[[], None]) -> Future[None]:
        """Have ``action`` done in a thread."""

    def tell(self, name: str, told: str, progress: float) -> None:
        """A task did ``told``, by which ``progress`` of the run, in percent, is done."""


Body = Callable[[Tasks], None]


class PlainTasks:
    """Tasks in threads that nobody is told of."""

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="task")

    def submit(self, kind: str, name: str, action: Callable[[], None]) -> Future[None]:
        """See :class:`Tasks`."""
        return self._threads.submit(action)

    def tell(self, name: str, told: str, progress: float) -> None:
        """See :class:`Tasks`."""

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False)


@dataclass
class Once:
    """The body of a run: done by whoever comes first, and what it raised is kept apart."""

    body: Body
    begun: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    raised: BaseException | None = None
    _claim: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, tasks: Tasks) -> None:
        """Do the body, unless it was begun before."""
        if not self._claim.acquire(blocking=False):
            return
        self.begun.set()
        try:
            self.body(tasks)
        except BaseException as error:
            self.raised = error
            raise
        finally:
            self.ended.set()
