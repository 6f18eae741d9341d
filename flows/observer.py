"""A Prefect server is told of a run, and never decides whether there is one.

Where none can be had in time, or it goes away, the run says so once and goes on in plain threads.
"""

from __future__ import annotations

import io
import logging
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr

from flows.server import NoServer, OwnServer, loopback_past_proxies, own_server
from flows.tasks import About, Body, Once, PlainTasks, Tasks
from spinenet.redaction import redacted

START_S = 60.0
"""How long a run waits for a server, from when it began to start workers."""
BEGIN_S = 60.0
"""How long a server that answers may take to let the run begin."""
END_S = 30.0
"""How long a server may take to be told that the run has ended."""

log = logging.getLogger("spinenet")


class Observer:
    """Prefect's server as one run knows it.

    Parameters
    ----------
    configured
        Address of the user's server; None where there is none, or ``own`` is to be used.
    own
        A server that was started for this run.
    trouble
        Why there is neither; None where none is wanted.
    """

    def __init__(
        self, configured: str | None = None, own: OwnServer | None = None, trouble: NoServer | None = None
    ) -> None:
        self._configured, self._own, self._trouble = configured, own, trouble
        self._deadline = time.monotonic() + START_S
        self._said = False

    @property
    def wanted(self) -> bool:
        """Whether there is a server to wait for."""
        return self._configured is not None or self._own is not None

    def run(self, about: About, body: Body, waiting: Callable[[str], None] | None = None) -> None:
        """Do ``body``, as a flow where a server answers, and raise what it raises.

        Parameters
        ----------
        waiting
            Told where the server has to be waited for.
        """
        once = Once(body)
        if self._trouble is not None:
            self.miss(self._trouble)
        elif self.wanted:
            # Prefect takes the main thread's signals for itself, and waits for nothing where a loop runs.
            thread = threading.Thread(target=self._observed, args=(about, once), name="flow", daemon=True)
            thread.start()
            _wait(thread, once.begun, 1.0)
            if waiting is not None and thread.is_alive() and not once.begun.is_set():
                waiting("waiting for Prefect's server")
            _wait(thread, once.begun, self._deadline - time.monotonic() + BEGIN_S)
            if once.begun.is_set():
                _wait(thread, once.ended, None)
                thread.join(END_S)
                if thread.is_alive():
                    self.miss(NoServer("it does not take in that the run has ended"))
        if not once.begun.is_set() and self.wanted and not self._said:
            self.miss(NoServer("it does not let the run begin"))
        _plainly(once, about.threads)
        if once.raised is not None:
            raise once.raised

    def miss(self, error: Exception) -> None:
        """Say once that the server is not told, or not any more."""
        if not self._said:
            self._said = True
            log.warning("Prefect does not show this run, which goes on without it: %s", _sentence(error))

    def _observed(self, about: About, once: Once) -> None:
        """The run as a flow; whatever is wrong with Prefect is said and forgotten."""
        try:
            from flows.prefect_flow import observed

            observed(self._address(), self._own, about, once, self.miss)
        except BaseException as error:  # also what Prefect raises to end a flow: none of it ends the run
            if error is not once.raised:
                self.miss(error if isinstance(error, Exception) else NoServer(type(error).__name__))

    def _address(self) -> str:
        seconds = max(0.0, self._deadline - time.monotonic())
        if self._own is not None:
            try:
                return self._own.url(seconds)
            except TimeoutError:
                raise NoServer(f"its own server did not answer within {START_S:.0f} seconds") from None
        assert self._configured is not None
        from flows.prefect_flow import reach

        reach(self._configured, min(seconds, 20.0))
        return self._configured


@contextmanager
def observer(wanted: bool = True) -> Iterator[Observer]:
    """The configured Prefect server, or one that is started and not waited for; it ends with the block.

    Parameters
    ----------
    wanted
        Without, nothing is started and nobody is told.
    """
    with ExitStack() as stack:
        if not wanted:
            yield Observer()
            return
        stack.enter_context(loopback_past_proxies())
        try:
            # Read where the user stands: his settings may be anything, and so may what they raise.
            with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
                warnings.simplefilter("ignore")
                from prefect.settings import PREFECT_API_URL

                configured = PREFECT_API_URL.value()
            found = (
                Observer(configured=str(configured))
                if configured
                else Observer(own=stack.enter_context(own_server()))
            )
        except Exception as error:
            found = Observer(trouble=NoServer(_sentence(error)))
        yield found


def _plainly(once: Once, threads: int) -> None:
    if once.begun.is_set():
        return
    tasks = PlainTasks(threads)
    # Not in this thread: it stays open to signals.
    thread = threading.Thread(target=_quietly, args=(once, tasks), name="run", daemon=True)
    thread.start()
    _wait(thread, once.ended, None)
    tasks.close()


def _quietly(once: Once, tasks: Tasks) -> None:
    try:
        once(tasks)
    except BaseException as error:
        # kept by ``once``, and raised in the thread that waits
        log.debug("the run ended with %s", type(error).__name__)


def _wait(thread: threading.Thread, event: threading.Event, seconds: float | None) -> None:
    """Wait for the event while the thread lives, in pieces, so that signals are heard."""
    deadline = None if seconds is None else time.monotonic() + seconds
    while thread.is_alive() and not event.wait(0.2):
        if deadline is not None and time.monotonic() > deadline:
            return


def _sentence(error: Exception) -> str:
    """The first line of an error, or of the first that lies behind it and has one, without secrets."""
    text = str(error).strip() or type(error).__name__
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # pydantic counts what is wrong in the first line, and names it in the next two
    joined = " ".join(lines[:3]) if "validation error" in lines[0] else lines[0]
    return redacted(joined)
