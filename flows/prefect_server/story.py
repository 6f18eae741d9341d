"""A run as a Prefect flow: its tasks with their states, its logs and its artifacts.

Prefect tries each event for 7 seconds and each request for a minute where its server is gone, also when the
process ends, which then takes hours after a long run; and a second run of a process tells the first one's.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

import httpx
from prefect import flow, task
from prefect._internal.concurrency.services import QueueService
from prefect.artifacts import create_link_artifact, create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import LogCreate
from prefect.context import TagsContext, TaskRunContext
from prefect.events.clients import PrefectEventsClient
from prefect.events.worker import EventsWorker, emit_events_to_cloud
from prefect.logging.handlers import APILogWorker
from prefect.runtime import flow_run
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_API_REQUEST_TIMEOUT,
    PREFECT_API_URL,
    PREFECT_CLIENT_CUSTOM_HEADERS,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_LOGGING_TO_API_ENABLED,
    PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW,
    temporary_settings,
)
from prefect.task_runners import ThreadPoolTaskRunner

from flows.prefect_server.server import NoServer, OwnServer
from flows.tasks import About, Done, Task, Tasks
from spinenet.printable import link_target, markdown, printable

LAST_WORDS_S = 10.0
"""How long what is yet unsent is waited for when a run ends."""
SILENCE_S = 60.0
"""After a server was found gone, until it is asked again whether it is back."""
AGAIN_S = 5.0
"""How long a server that was gone may take to say that it is back."""
REQUEST_S = 15.0
"""Of a request to a server."""
RETRIES = 2
"""Of a request, with waits of 2 and 4 seconds."""
ATTEMPTS = 2
"""Of an event beside the first; Prefect waits between them from the fourth on."""
SPARE_THREADS = 2


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


def observed(
    url: str, own: OwnServer | None, about: About, tasks: Tasks, ended: Future[None], listener: Listener
) -> None:
    """Tell the server at ``url`` of a run, as a flow that ends as the run does.

    Parameters
    ----------
    own
        The process of that server, where it was started for this run.
    tasks, ended
        The run: its tasks, and what becomes of it.
    """
    # one thread for each task under way, and some for those that have ended and are still told of
    runner: Any = ThreadPoolTaskRunner(max_workers=about.threads + SPARE_THREADS)

    @flow(
        name=about.flow,
        flow_run_name=lambda: about.name,
        task_runner=runner,
        persist_result=False,
        validate_parameters=False,
        retries=0,
        log_prints=False,
    )
    def run(**parameters: str) -> None:
        story = _Story(url, own, about, listener)
        story.begin()
        # Tags are the run's: for each tag of a task Prefect asks for room, and waits long for a lost server.
        with TagsContext(current_tags=set()):
            for begun in tasks.news():
                story.follow(begun)
            story.wait()
        ended.result()

    from prefect import tags

    with _told_to(url, own is not None), tags(*about.tags):
        run(**about.parameters)


@contextmanager
def _told_to(url: str, own: bool) -> Iterator[None]:
    """Settings of Prefect for a run; at its end what is unsent is sent, or given up."""
    if not emit_events_to_cloud():
        # Its very own client: events of any other are dropped, and with them the states of tasks.
        EventsWorker.set_client_override(PrefectEventsClient, api_url=url, reconnection_attempts=ATTEMPTS)
    ours: set[Any] = {PREFECT_API_KEY, PREFECT_API_AUTH_STRING, PREFECT_CLIENT_CUSTOM_HEADERS}
    updates: dict[Any, Any] = {
        PREFECT_API_URL: url,
        PREFECT_API_REQUEST_TIMEOUT: REQUEST_S,
        PREFECT_LOGGING_TO_API_ENABLED: True,
        PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW: "ignore",
    }
    try:
        with temporary_settings(
            updates,
            set_defaults={PREFECT_CLIENT_MAX_RETRIES: RETRIES},
            restore_defaults=ours if own else None,
        ):
            yield
    finally:
        every: Any = QueueService
        services = list(every._instances.values())
        for worker in (EventsWorker, APILogWorker):
            worker.drain_all(timeout=LAST_WORDS_S)
        for service in services:
            _give_up(service)
        EventsWorker.set_client_override(None)


def _give_up(service: Any) -> None:
    """Drop what a service has not sent: the process would wait for it when it ends."""
    try:
        while True:
            service._queue.get_nowait()
    except queue.Empty:
        service._queue.put_nowait(None)


def wait_for_one(shown: set[Any]) -> None:
    """Wait a moment for one of Prefect's futures, which others may remove from the set."""
    first = next(iter(list(shown)), None)
    if first is not None:
        first.wait(0.5)


class _Story:
    """What the server is told of a run, from the thread of its flow and those of its tasks."""

    def __init__(self, url: str, own: OwnServer | None, about: About, listener: Listener) -> None:
        self._url, self._own, self._about, self._listener = url, own, about, listener
        self._kinds: dict[str, Any] = {}
        self._open: set[Any] = set()
        self._by_name: dict[str, Task] = {}
        self._silent_until: float | None = None
        self._asking = threading.Lock()
        self._run_id: Any = flow_run.id
        self._progress: Any = None
        self._furthest = 0.0
        self._one_by_one = threading.Lock()

    def begin(self) -> None:
        """Tell where the tables will lie, and that nothing is done."""
        key, tables = self._about.key, self._about.tables

        def tell() -> None:
            if tables:
                create_link_artifact(link_target(tables), link_text="tables", key=f"tables-{key}")
            told: Any = create_progress_artifact(0.0, f"progress-{key}", markdown(self._about.name))
            self._progress = told

        self._try(tell)

    def follow(self, begun: Task) -> None:
        """Show a task of the run as one of Prefect's, which ends as it does."""
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

    def wait(self) -> None:
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
            flow_run_id=UUID(str(self._run_id)),
            task_run_id=context.task_run.id if context is not None else None,
        )
        with get_client(sync_client=True) as client:
            client.create_logs([entry])
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
