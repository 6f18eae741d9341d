"""A Prefect server is told of a run, and never decides whether there is one.

The run goes its way in threads of its own from the first moment. Beside it a Prefect flow tells the server of
its tasks, once the server answers; where none can be had, or it goes away, the run says so once and goes on.
"""

from __future__ import annotations

import io
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator, MutableMapping
from concurrent.futures import Future, wait
from contextlib import ExitStack, contextmanager, redirect_stderr, suppress
from typing import Any

from flows.prefect_server.begun import END_S, HERE, Begun, Telling
from flows.prefect_server.server import NoServer, OwnServer, loopback_past_proxies, own_server
from flows.tasks import About, Body, News, Tasks

START_S = 300.0
"""How long a server may take to start."""
ANSWER_S = 20.0
"""How long the server that PREFECT_API_URL names may take to answer first."""
BEGIN_S = 60.0
"""How long a run that has ended waits for a server that does not know of it yet."""


class Observer:
    """Prefect's server as one run knows it.

    Parameters
    ----------
    wanted
        Without, nothing is started and nobody is told.

    Attributes
    ----------
    outcome
        What the flow returns, once the run has ended well.
    """

    outcome: Any = None

    def __init__(self, wanted: bool = True) -> None:
        here = HERE.get() if wanted else None
        self._within = here is not None
        self._wanted = wanted and here is None
        self._news = News() if here is None else here
        self._telling = Telling()
        self._configured: str | None = None
        self._own: OwnServer | None = None
        self._flow: threading.Thread | None = None
        self._ended = Future[Any]()
        self._end = ExitStack()

    @contextmanager
    def started(self) -> Iterator[None]:
        """Find the user's server, or start one, before the block; neither is waited for."""
        if self._wanted and self._configured is None and self._own is None:
            self._end.enter_context(loopback_past_proxies())
            try:
                self._configured = configured_url()
                if self._configured is None:
                    self._own = self._end.enter_context(own_server())
            except Exception as error:
                self._telling.miss(error)
        yield

    def run(self, about: About, body: Body) -> None:
        """Do ``body`` and raise what it raises, while a flow tells of it where a server answers."""
        outside = self._configured is not None or self._own is not None
        observed = outside or self._within
        tasks, ended = Tasks(about.threads, self._news if observed else None), Future[None]()
        if observed:
            self._news.put(about)
        # Neither in this thread: it stays open to signals, and Prefect waits for nothing where a loop runs.
        threading.Thread(target=_do, args=(body, tasks, ended), name="run", daemon=True).start()
        if outside and self._flow is None:
            self._flow = threading.Thread(target=self._observe, args=(about,), name="flow", daemon=True)
            self._flow.start()
        while not ended.done():
            # in pieces, so that signals are heard
            wait([ended], timeout=0.2)
        ended.result()

    def finish(self, error: BaseException | None, waiting: Callable[[str], None] | None = None) -> None:
        """Let the flow tell the server of the run's end, within a time; a server that was started ends.

        Parameters
        ----------
        error
            What ended the run; None where it ended well.
        waiting
            Told where this takes more than a moment.
        """
        if error is None:
            self._ended.set_result(self.outcome)
        else:
            self._ended.set_exception(error)
        if not self._within:
            self._news.close()
        with self._end:
            flow, telling, began = self._flow, self._telling, time.monotonic()
            while flow is not None and flow.is_alive() and not telling.lost:
                flow.join(0.2)
                now, heard = time.monotonic(), telling.last_heard
                if waiting is not None and now - began > 2.0:
                    waiting("telling Prefect's server of the run's end")
                    waiting = None
                if heard is None and now - began > BEGIN_S:
                    telling.miss(NoServer("its server was not ready before the run ended"))
                elif heard is not None and now - max(began, heard) > END_S:
                    telling.miss(NoServer("its server does not take in that the run has ended"))

    def _observe(self, about: About) -> None:
        """The run as a flow; whatever is wrong with Prefect is said and forgotten."""
        try:
            from flows.prefect_server.beside import observed

            observed(about, Begun(self._news, self._ended, self._telling, self._address(), self._own))
        except BaseException as error:  # also what Prefect raises to end a flow: none of it ends the run
            if not (self._ended.done() and error is self._ended.exception()):
                self._telling.miss(error if isinstance(error, Exception) else NoServer(type(error).__name__))
        finally:
            self._news.forget()

    def _address(self) -> str:
        if self._own is not None:
            try:
                return self._own.url(START_S)
            except TimeoutError:
                raise NoServer(f"its own server did not answer within {START_S:.0f} seconds") from None
        assert self._configured is not None
        from flows.prefect_server.story import reach

        reach(self._configured, ANSWER_S)
        return self._configured


@contextmanager
def observer(wanted: bool = True, waiting: Callable[[str], None] | None = None) -> Iterator[Observer]:
    """An observer that is yet to be started, and that finishes with the block.

    Within a flow run that Prefect itself began it starts nothing: that run shows the block's tasks.

    Parameters
    ----------
    wanted
        Without, nothing is started and nobody is told.
    waiting
        Told what is waited for at the end.
    """
    observing = Observer(wanted)
    try:
        yield observing
    except BaseException as error:
        observing.finish(error, waiting)
        raise
    else:
        # the run is done: whoever is impatient now only ends what is still being shown of it
        with suppress(KeyboardInterrupt):
            observing.finish(None, waiting)


def configured_url() -> str | None:
    """Address of the server that the user's settings name, which may be anything, and raise anything."""
    with warnings.catch_warnings(), redirect_stderr(io.StringIO()), _quietened(os.environ):
        warnings.simplefilter("ignore")
        from prefect.settings import PREFECT_API_URL

        return PREFECT_API_URL.value() or None


@contextmanager
def _quietened(environment: MutableMapping[str, str]) -> Iterator[None]:
    """Where Prefect is first imported in the block it logs nothing by itself: runs report for themselves."""
    quiet = {"PREFECT_LOGGING_LEVEL": "CRITICAL", "PREFECT_LOGGING_TO_API_ENABLED": "false"}
    added = {name: value for name, value in quiet.items() if name not in environment}
    environment.update(added)
    try:
        yield
    finally:
        for name in added:
            environment.pop(name, None)


def _do(body: Body, tasks: Tasks, ended: Future[None]) -> None:
    try:
        body(tasks)
    except BaseException as error:
        # raised in the thread that waits, and the flow ends with it
        ended.set_exception(error)
    else:
        ended.set_result(None)
    finally:
        tasks.close()
