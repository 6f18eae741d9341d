"""A Prefect server is told of a run, and never decides whether there is one.

The run goes its way in threads of its own from the first moment. Beside it a Prefect flow tells the server of
its tasks, once the server answers; where none can be had, or it goes away, the run says so once and goes on.
"""

from __future__ import annotations

import io
import logging
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import ExitStack, contextmanager, redirect_stderr

from flows.prefect_server.server import NoServer, OwnServer, loopback_past_proxies, own_server
from flows.tasks import About, Body, Tasks
from spinenet.redaction import redacted

START_S = 300.0
"""How long a server may take to start."""
ANSWER_S = 20.0
"""How long the server that PREFECT_API_URL names may take to answer first."""
BEGIN_S = 60.0
"""How long a run that has ended waits for a server that does not know of it yet."""
END_S = 30.0
"""How long a run that has ended waits for a server that takes in nothing more of it."""

log = logging.getLogger("spinenet")


class Observer:
    """Prefect's server as one run knows it.

    Parameters
    ----------
    wanted
        Without, nothing is started and nobody is told.
    """

    def __init__(self, wanted: bool = True) -> None:
        self._wanted = wanted
        self._configured: str | None = None
        self._own: OwnServer | None = None
        self._flow: threading.Thread | None = None
        self._heard: float | None = None
        self._missed: float | None = None
        self._end = ExitStack()

    @contextmanager
    def started(self) -> Iterator[None]:
        """Find the user's server, or start one, before the block; neither is waited for."""
        if self._wanted:
            self._end.enter_context(loopback_past_proxies())
            try:
                self._configured = configured_url()
                if self._configured is None:
                    self._own = self._end.enter_context(own_server())
            except Exception as error:
                self.miss(error)
        yield

    def run(self, about: About, body: Body) -> None:
        """Do ``body`` and raise what it raises, while a flow tells of it where a server answers."""
        observed = self._configured is not None or self._own is not None
        tasks, ended = Tasks(about.threads, observed), Future[None]()
        # Neither in this thread: it stays open to signals, and Prefect waits for nothing where a loop runs.
        threading.Thread(target=_do, args=(body, tasks, ended), name="run", daemon=True).start()
        if observed:
            self._flow = threading.Thread(
                target=self._observe, args=(about, tasks, ended), name="flow", daemon=True
            )
            self._flow.start()
        while not ended.done():
            # in pieces, so that signals are heard
            wait([ended], timeout=0.2)
        ended.result()

    def finish(self, waiting: Callable[[str], None] | None = None) -> None:
        """Let the flow tell the server of the run's end, within a time; a server that was started ends.

        Parameters
        ----------
        waiting
            Told where this takes more than a moment.
        """
        with self._end:
            flow, began = self._flow, time.monotonic()
            while flow is not None and flow.is_alive() and not self._lost:
                flow.join(0.2)
                now = time.monotonic()
                if waiting is not None and now - began > 2.0:
                    waiting("telling Prefect's server of the run's end")
                    waiting = None
                if self._heard is None and now - began > BEGIN_S:
                    self.miss(NoServer("its server was not ready before the run ended"))
                elif self._heard is not None and now - max(began, self._heard) > END_S:
                    self.miss(NoServer("its server does not take in that the run has ended"))

    def heard(self) -> None:
        """Note that the server has just taken something in."""
        self._heard = time.monotonic()

    def miss(self, error: Exception) -> None:
        """Say once that the server is not told, or not any more."""
        said, self._missed = self._missed is not None, time.monotonic()
        if not said:
            log.warning("Prefect does not show this run, which goes on without it: %s", _sentence(error))

    @property
    def _lost(self) -> bool:
        """Whether the server was missed, and has taken in nothing since."""
        return self._missed is not None and (self._heard is None or self._heard < self._missed)

    def _observe(self, about: About, tasks: Tasks, ended: Future[None]) -> None:
        """The run as a flow; whatever is wrong with Prefect is said and forgotten."""
        try:
            from flows.prefect_server.story import observed

            observed(self._address(), self._own, about, tasks, ended, self)
        except BaseException as error:  # also what Prefect raises to end a flow: none of it ends the run
            if not (ended.done() and error is ended.exception()):
                self.miss(error if isinstance(error, Exception) else NoServer(type(error).__name__))
        finally:
            tasks.forget()

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

    Parameters
    ----------
    wanted
        Without, nothing is started and nobody is told.
    waiting
        Told what is waited for at the end.
    """
    found = Observer(wanted)
    try:
        yield found
    finally:
        found.finish(waiting)


def configured_url() -> str | None:
    """Address of the server that the user's settings name, which may be anything, and raise anything."""
    with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        from prefect.settings import PREFECT_API_URL

        return PREFECT_API_URL.value() or None


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


def _sentence(error: Exception) -> str:
    """The first line of an error, or of the first that lies behind it and has one, without secrets."""
    text = str(error).strip() or type(error).__name__
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # pydantic counts what is wrong in the first line, and names it in the next two
    joined = " ".join(lines[:3]) if "validation error" in lines[0] else lines[0]
    return redacted(joined)
