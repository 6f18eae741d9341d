"""The tasks of a run: threads that do them, and the news of them for whoever observes the run."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass


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


@dataclass(frozen=True, eq=False)
class Task:
    """A task that was begun."""

    kind: str
    name: str
    done: Future[Done]


Action = Callable[[], Done]


class Tasks:
    """Threads that do the tasks of a run.

    Parameters
    ----------
    threads
        Tasks at once.
    observed
        Whether somebody reads :meth:`news`.
    """

    def __init__(self, threads: int, observed: bool = False) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="task")
        self._news: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._observed = observed

    def submit(self, kind: str, name: str, action: Action) -> Future[Done]:
        """Have ``action`` done in a thread."""
        done = self._threads.submit(action)
        if self._observed:
            self._news.put(Task(kind, name, done))
        return done

    def news(self) -> Iterator[Task]:
        """Each task once it is submitted, until no more will come."""
        while (task := self._news.get()) is not None:
            yield task

    def forget(self) -> None:
        """Keep no more news: nobody reads them."""
        self._observed = False
        while not self._news.empty():
            self._news.get()

    def close(self) -> None:
        """Take no more tasks."""
        self._threads.shutdown(wait=False)
        self._news.put(None)


Body = Callable[[Tasks], None]
"""What a run does, by tasks."""
