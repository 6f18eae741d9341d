"""What Prefect's server is told of a run by its flow: tasks with their states, logs and artifacts."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

import httpx
from prefect import task
from prefect.artifacts import (
    create_link_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import LogCreate
from prefect.context import FlowRunContext, TagsContext, TaskRunContext

from flows.prefect_server.server import NoServer, OwnServer
from flows.tasks import About, Account, Done, News, Task
from spinenet.printable import link_target, markdown, printable

SILENCE_S = 60.0
"""Time after a server was found gone, until it is asked again whether it is back."""
AGAIN_S = 5.0
"""How long a server that was gone may take to say that it is back."""
SPARE_THREADS = 2
"""Threads for tasks that have ended and whose end is still being shown."""


def reach(url: str, seconds: float) -> None:
    """Ask a server whether it is there.

    Raises
    ------
    NoServer
        It cannot be reached.
    """
    try:
        httpx.get(f"{url}/health", timeout=seconds)
    except Exception as error:  # no answer, no address, a proxy that httpx cannot use
        raise NoServer(f"the server at PREFECT_API_URL={url} cannot be reached: {error}") from error


class Listener(Protocol):
    """Whoever wants to know how the telling goes."""

    def heard(self) -> None:
        """The server has just taken something in."""

    def miss(self, error: Exception) -> None:
        """The server is gone."""


def wait_for_one(shown: set[Any]) -> None:
    """Wait a moment for one of Prefect's futures, which others may remove from the set."""
    first = next(iter(list(shown)), None)
    if first is not None:
        first.wait(0.5)


class Story:
    """What the server is told of a run, from the thread of its flow and those of its tasks.

    Begun in the flow run that shows the run.

    Parameters
    ----------
    url
        Of the server.
    own
        Its process, where it was started for this run.
    """

    def __init__(self, url: str, own: OwnServer | None, listener: Listener) -> None:
        self._url, self._own, self._listener = url, own, listener
        self._about: About | None = None
        self._kinds: dict[str, Any] = {}
        self._open: set[Any] = set()
        self._by_name: dict[str, Task] = {}
        self._silent_until: float | None = None
        self._asking = threading.Lock()
        context = FlowRunContext.get()
        assert context is not None
        assert context.flow_run is not None
        self._run = context.flow_run
        self._progress: Any = None
        self._furthest = 0.0
        self._one_by_one = threading.Lock()

    def follow(self, news: News) -> None:
        """Show what a run tells of itself, and return once it tells no more."""
        # Tags are the run's: for each tag of a task Prefect asks for room, and waits long for a lost server.
        with TagsContext(current_tags=set()):
            for item in news:
                if isinstance(item, Task):
                    self._show(item)
                elif self._about is None:
                    self._about = item
                    self._try(partial(self._begin, item))
            self._wait()

    def account(self, account: Account) -> None:
        """Tell what became of everything, as a table."""
        counted = [{"state": state, "count": count} for state, count in account.counts.items()]

        def tell() -> None:
            create_table_artifact(counted, f"account-{account.key}", markdown(account.title))

        self._try(tell)

    def _begin(self, about: About) -> None:
        """Tell what runs, where the tables will lie, and that nothing is done."""
        tags = sorted({*self._run.tags, *about.tags})
        if self._run.name != about.name or tags != sorted(self._run.tags):
            with get_client(sync_client=True) as client:
                client.update_flow_run(self._run.id, name=about.name, tags=tags).raise_for_status()
        if about.tables:
            create_link_artifact(link_target(about.tables), link_text="tables", key=f"tables-{about.key}")
        artifact: Any = create_progress_artifact(0.0, f"progress-{about.key}", markdown(about.name))
        self._progress = artifact

    def _show(self, begun: Task) -> None:
        """Show a task of the run as one of Prefect's, which ends as it does."""
        assert self._about is not None
        while len(self._open) >= self._about.threads + SPARE_THREADS and self._there():
            # nothing of Prefect's grows with the manifest
            wait_for_one(self._open)
        if not self._there():
            return
        self._by_name[begun.name] = begun
        try:
            future = self._task(begun.kind).submit(begun.name)
        except Exception as error:
            self._by_name.pop(begun.name, None)
            self._lost(error)
        else:
            self._open.add(future)
            future.add_done_callback(self._open.discard)

    def _wait(self) -> None:
        """Let the tasks that are shown end, as they do once those of the run have."""
        while self._open and self._there():
            wait_for_one(self._open)

    def _task(self, kind: str) -> Any:
        if kind not in self._kinds:

            @task(name=kind, task_run_name="{name}", cache_policy=NO_CACHE, persist_result=False, retries=0)
            def shown(name: str) -> None:
                done = self._by_name.pop(name).done.result()
                self._try(lambda: self._tell(name, done))

            self._kinds[kind] = shown
        return self._kinds[kind]

    def _tell(self, name: str, done: Done) -> None:
        """Log what a task did, as its artifact and as the run's progress."""
        context = TaskRunContext.get()
        entry = LogCreate(
            name="spinenet",
            level=logging.INFO,
            message=printable(f"{name}: {done.text}"),
            timestamp=datetime.now(UTC),  # type: ignore[arg-type]
            flow_run_id=self._run.id,
            task_run_id=context.task_run.id if context is not None else None,
        )
        with get_client(sync_client=True) as client:
            client.create_logs([entry])
        assert self._about is not None
        create_progress_artifact(100.0, f"{name}-{self._about.key}", done.text)
        with self._one_by_one:
            self._furthest = max(self._furthest, done.progress)
            if self._progress is not None:
                update_progress_artifact(self._progress, self._furthest)

    def _try(self, tell: Callable[[], None]) -> None:
        if not self._there():
            return
        try:
            tell()
        except Exception as error:
            self._lost(error)
        else:
            self._listener.heard()

    def _lost(self, error: Exception) -> None:
        self._silent_until = time.monotonic() + SILENCE_S
        self._listener.miss(NoServer(f"its server does not answer any more: {error}"))

    def _there(self) -> bool:
        """Whether the server is worth telling; one that was gone is asked again now and then."""
        if self._own is not None and not self._own.alive:
            if self._silent_until is None:
                self._lost(NoServer("it was ended"))
            return False
        if self._silent_until is None:
            return True
        with self._asking:
            if self._silent_until is None or time.monotonic() < self._silent_until:
                return self._silent_until is None
            try:
                reach(self._url, AGAIN_S)
            except NoServer:
                self._silent_until = time.monotonic() + SILENCE_S
            else:
                self._silent_until = None
            return self._silent_until is None
