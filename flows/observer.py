"""What Prefect's server is told of a run; one that is gone costs no scan, and little time.

Prefect tries each event for 7 seconds and each request for a minute where its server is gone, also when the
process ends, which then takes hours after a long run; and a second run of a process tells the first one's.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
from prefect.events import Event
from prefect.events.clients import PrefectEventsClient
from prefect.events.worker import EventsWorker, emit_events_to_cloud
from prefect.exceptions import PrefectHTTPStatusError
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from spinenet.errors import RunError

LAST_WORDS_S = 30.0
"""How long what is yet unsent is waited for when a run ends."""
SILENCE_S = 60.0
"""After a request that failed, until the next one."""
RETRIES = 2
"""Of a request, with waits of 2 and 4 seconds."""
ATTEMPTS = 10
"""Of an event, 7 seconds in all, unless the one before failed."""
EVENTS_KEPT = 2000
"""Events that a server which comes back is told belatedly."""
UNREACHABLE = (httpx.HTTPError, PrefectHTTPStatusError)
"""What Prefect raises where its server is gone or refuses."""

log = logging.getLogger(__name__)


class PatientEvents(PrefectEventsClient):
    """Sends events to a server; waits for one that is gone once, not again for each event."""

    async def _emit(self, event: Event) -> None:
        try:
            await super()._emit(event)
        except Exception as error:  # what a connection may raise is not of one kind
            if self._reconnection_attempts > 1:
                log.warning("Prefect's server does not answer; the run goes on: %s", error)
            self._reconnection_attempts = 1
            del self._unconfirmed_events[:-EVENTS_KEPT]
        else:
            self._reconnection_attempts = ATTEMPTS


@contextmanager
def observed_by(url: str) -> Iterator[None]:
    """Run the block's flows against the Prefect server at ``url``; at its end, what is unsent is sent."""
    if not emit_events_to_cloud():
        EventsWorker.set_client_override(PatientEvents, api_url=url, reconnection_attempts=ATTEMPTS)
    try:
        with temporary_settings({PREFECT_API_URL: url}, set_defaults={PREFECT_CLIENT_MAX_RETRIES: RETRIES}):
            yield
    finally:
        for worker in (EventsWorker, APILogWorker):
            worker.drain_all(timeout=LAST_WORDS_S)
        EventsWorker.set_client_override(None)


@contextmanager
def needed_until(through: threading.Event) -> Iterator[None]:
    """Let a flow end without its server once ``through`` is set.

    Raises
    ------
    RunError
        The server was gone, or refused, before.
    """
    try:
        yield
    except UNREACHABLE as error:
        if not through.is_set():
            raise RunError(f"Prefect's server cannot be used, see PREFECT_API_URL: {error}") from error
        log.warning("all is done, but Prefect's server could not be told: %s", error)


@dataclass
class Observer:
    """The server, for what a run tells it beside the states of its tasks.

    Attributes
    ----------
    silent_until
        By the monotonic clock; nothing is told before, as it did not answer.
    """

    silent_until: float = 0.0

    def tell(self, say: Callable[[], object]) -> None:
        """Do ``say``, a request to the server that no run needs, unless another failed a moment ago."""
        if time.monotonic() < self.silent_until:
            return
        try:
            say()
        except UNREACHABLE as error:
            self.silent_until = time.monotonic() + SILENCE_S
            log.warning("Prefect's server could not be told of a shard; the run goes on: %s", error)
