"""A Prefect flow beside a run that goes on already: the one that Prefect itself would begin it by.

Prefect tries each event for 7 seconds and each request for a minute where its server is gone, also when the
process ends, which then takes hours after a long run; and a second run of a process tells the first one's.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from prefect import Flow, tags
from prefect._internal.concurrency.services import QueueService
from prefect.events.clients import PrefectEventsClient
from prefect.events.worker import EventsWorker, emit_events_to_cloud
from prefect.logging.handlers import APILogWorker
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

from flows.prefect_server.begun import BEGUN, Begun
from flows.tasks import About

LAST_WORDS_S = 10.0
"""How long what is yet unsent is waited for when a run ends."""
REQUEST_S = 15.0
"""Time limit of a request to a server."""
RETRIES = 2
"""Repetitions of a request, after waits of 2 and 4 seconds."""
ATTEMPTS = 2
"""Attempts to send an event beside the first; Prefect waits between them from the fourth on."""


def observed(about: About, begun: Begun) -> None:
    """Tell a server of a run, by its flow, which ends as the run does."""
    module, _, name = about.flow.partition(":")
    flow: Flow[..., Any] = getattr(import_module(module), name)
    shown = flow.with_options(flow_run_name=lambda: about.name, validate_parameters=False)
    before = BEGUN.set(begun)
    try:
        with _told_to(begun.url, begun.own is not None), tags(*about.tags):
            shown(**about.parameters)
    finally:
        BEGUN.reset(before)


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
