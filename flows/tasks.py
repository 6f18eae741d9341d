"""The tasks of a run: threads that do them, and the news of them for whoever shows the run."""

from __future__ import annotations

import hashlib
import queue
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class About:
    """What a run is shown as.

    Attributes
    ----------
    flow
        Where the Prefect flow of such runs is, as ``module:name``.
    name
        What runs, for people.
    key
        Lower-case letters, digits and dashes that no other run has; of its artifacts.
    parameters
        Of the flow, as Prefect shows them.
    tags
        As Prefect shows them.
    tables
        Where the results lie.
    threads
        Tasks at once.
    """

    flow: str
    name: str
    key: str
    parameters: Mapping[str, Any]
    tags: tuple[str, ...] = ()
    tables: str = ""
    threads: int = 1


@dataclass(frozen=True)
class Done:
    """What a task did.

    Attributes
    ----------
    text
        For people, as Markdown.
    progress
        Percent of the run that is done by now.
    """

    text: str
    progress: float


@dataclass(frozen=True)
class Account:
    """What became of everything that a run was given.

    Attributes
    ----------
    title
        What is counted, for people.
    key
        As that of :class:`About`.
    counts
        By state.
    """

    title: str
    key: str
    counts: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Task:
    """A task that was begun."""

    kind: str
    name: str
    done: Future[Done]


Action = Callable[[], Done]


class News:
    """What a run is, and then each of its tasks, for the one who shows it."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[About | Task | None] = queue.SimpleQueue()
        self._wanted = True

    def put(self, item: About | Task) -> None:
        """Tell something."""
        if self._wanted:
            self._queue.put(item)

    def __iter__(self) -> Iterator[About | Task]:
        while (item := self._queue.get()) is not None:
            yield item

    def forget(self) -> None:
        """Keep no more of it: nobody reads it."""
        self._wanted = False
        while not self._queue.empty():
            self._queue.get()

    def close(self) -> None:
        """Nothing more will come."""
        self._queue.put(None)


class Tasks:
    """Threads that do the tasks of a run.

    Parameters
    ----------
    threads
        Tasks at once.
    news
        Told of each; None where nobody shows them.
    """

    def __init__(self, threads: int, news: News | None = None) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="task")
        self._news = news

    def submit(self, kind: str, name: str, action: Action) -> Future[Done]:
        """Have ``action`` done in a thread."""
        done = self._threads.submit(action)
        if self._news is not None:
            self._news.put(Task(kind, name, done))
        return done

    def close(self) -> None:
        """Take no more tasks."""
        self._threads.shutdown(wait=False)


Body = Callable[[Tasks], None]
"""What a run does, by tasks."""


def key_of(out: str) -> str:
    """A key that only runs with the same results have."""
    return hashlib.sha256(out.encode()).hexdigest()[:8]
