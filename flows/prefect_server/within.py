"""What the flows of this package do: each begins its run, or shows one that was begun before it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, TypeVar
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.logging.handlers import APILogHandler

from flows.cli.printing import LineFormatter
from flows.prefect_server.begun import BEGUN, END_S, HERE, Telling
from flows.prefect_server.story import Story
from flows.stopping import STOP_S, WISH, Wish
from flows.tasks import Account, News

Outcome = TypeVar("Outcome")


def shown(body: Callable[[], Outcome], account: Callable[[Outcome], Account]) -> Outcome:
    """What ``body`` returns, or the run that goes on already, shown by the flow run that this is called in.

    Parameters
    ----------
    account
        What became of everything, of the outcome.
    """
    begun = BEGUN.get()
    if begun is None:
        return _begun_here(body, account)
    story = Story(begun.url, begun.own, begun.telling)
    story.follow(begun.news)
    outcome: Outcome = begun.ended.result()
    if outcome is not None:
        story.account(account(outcome))
    return outcome


def _begun_here(body: Callable[[], Outcome], account: Callable[[Outcome], Account]) -> Outcome:
    """Do ``body`` in a thread: in the flow's own, Prefect raises what ends a run, and it ends in order."""
    run = FlowRunContext.get()
    assert run is not None
    assert run.flow_run is not None
    with get_client(sync_client=True) as client:
        url = str(client.api_url).rstrip("/")
    news, wish, ended, telling = News(), Wish(), Future[Outcome](), Telling()
    story = Story(url, None, telling)
    inside = copy_context()
    inside.run(HERE.set, news)
    inside.run(WISH.set, wish)
    teller = threading.Thread(target=copy_context().run, args=(_follow, story, news, telling), daemon=True)
    doer = threading.Thread(target=inside.run, args=(_do, body, ended), daemon=True)
    with _lines_sent(run.flow_run.id):
        teller.start()
        doer.start()
        try:
            _wait(ended)
        except BaseException:
            wish.ask()
            wait([ended], timeout=STOP_S)
            raise
        finally:
            news.close()
            teller.join(END_S)
    outcome = ended.result()
    story.account(account(outcome))
    return outcome


def _follow(story: Story, news: News, telling: Telling) -> None:
    try:
        story.follow(news)
    except Exception as error:  # whatever is wrong with Prefect, the run goes on
        telling.miss(error)
        news.forget()


def _wait(ended: Future[Any]) -> None:
    while not ended.done():
        # in pieces, so that signals are heard
        wait([ended], timeout=0.2)


def _do(body: Callable[[], Outcome], ended: Future[Outcome]) -> None:
    try:
        outcome = body()
    except BaseException as error:
        # raised in the flow's own thread
        ended.set_exception(error)
    else:
        ended.set_result(outcome)


@contextmanager
def _lines_sent(run_id: UUID) -> Iterator[None]:
    """What a run says in the block is in the logs of a flow run, whatever thread says it."""
    logger, handler = logging.getLogger("spinenet"), APILogHandler()
    handler.setFormatter(LineFormatter("%(message)s"))

    def marked(record: logging.LogRecord) -> bool:
        record.flow_run_id = str(run_id)
        return True

    handler.addFilter(marked)
    before = logger.level
    logger.addHandler(handler)
    if not logger.isEnabledFor(logging.INFO):
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)
