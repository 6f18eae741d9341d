"""What passes is tried again for a bounded time; what does not, is not."""

from __future__ import annotations

import errno
import itertools
import socket
import threading
import time
from collections.abc import Callable

import pytest

from spinenet.storage import Retries
from spinenet.storage.answers import Facts


class AnsweredError(OSError):
    """As the packages of stores raise it, with an S3 server's answer."""

    def __init__(self, code: str, status: int) -> None:
        super().__init__(errno.EINVAL, "")
        self.response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}


def failing(times: int, error: Exception) -> tuple[Callable[[], str], list[float]]:
    """An action that fails so often and then succeeds, and when it was tried."""
    tried: list[float] = []

    def action() -> str:
        tried.append(time.monotonic())
        if len(tried) <= times:
            raise error
        return "done"

    return action, tried


PASSING = [
    AnsweredError("SlowDown", 503),
    AnsweredError("", 429),
    AnsweredError("InternalError", 500),
    AnsweredError("ConditionalRequestConflict", 409),
    ConnectionResetError(errno.ECONNRESET, "reset"),
    TimeoutError("timed out"),
]
FINAL = [
    AnsweredError("NoSuchKey", 404),
    AnsweredError("AccessDenied", 403),
    AnsweredError("PreconditionFailed", 412),
    FileNotFoundError(errno.ENOENT, "no such file"),
    PermissionError(errno.EACCES, "refused"),
    OSError(errno.ENOSPC, "full"),
    ValueError("a mistake"),
]


@pytest.mark.parametrize("error", PASSING, ids=str)
def test_passing_trouble_is_waited_for(error: Exception) -> None:
    action, tried = failing(3, error)
    assert Retries().call(action) == "done"
    waits = [later - sooner for sooner, later in itertools.pairwise(tried)]
    assert all(0.05 * 2**i <= wait for i, wait in enumerate(waits)), "each wait may be twice as long"
    assert sum(waits) < 0.2 + 0.4 + 0.8 + 1


@pytest.mark.parametrize("error", FINAL, ids=str)
def test_final_trouble_is_not_tried_again(error: Exception) -> None:
    action, tried = failing(1, error)
    with pytest.raises(type(error)) as caught:
        Retries().call(action)
    assert caught.value is error
    assert len(tried) == 1


def test_time_is_bounded() -> None:
    action, tried = failing(10**6, AnsweredError("SlowDown", 503))
    began = time.monotonic()
    with pytest.raises(AnsweredError):
        Retries(budget_s=1.0).call(action)
    assert time.monotonic() - began < 1.5
    assert len(tried) >= 3


def test_a_store_that_never_answered_is_given_up_on_sooner() -> None:
    def connect() -> None:
        with socket.create_connection(("127.0.0.1", 1), timeout=5):
            pass

    began = time.monotonic()
    with pytest.raises(ConnectionRefusedError):
        Retries(budget_s=60.0, first_budget_s=0.3).call(connect)
    assert time.monotonic() - began < 3
    known = Retries(budget_s=1.0, first_budget_s=0.0)
    assert known.call(lambda: "an answer") == "an answer"
    began = time.monotonic()
    with pytest.raises(ConnectionRefusedError):
        known.call(connect)
    assert time.monotonic() - began > 0.3


def test_a_run_that_is_to_end_waits_no_more() -> None:
    retries = Retries()
    action, tried = failing(10**6, AnsweredError("SlowDown", 503))
    threading.Timer(0.5, retries.hurry).start()
    began = time.monotonic()
    with pytest.raises(AnsweredError):
        retries.call(action)
    assert time.monotonic() - began < 3
    n_tried = len(tried)
    with pytest.raises(AnsweredError):
        retries.call(action)
    assert len(tried) == n_tried + 1


def test_what_a_caller_deals_with_decides_nothing() -> None:
    try:
        raise AnsweredError("PreconditionFailed", 412)
    except AnsweredError:
        action, tried = failing(1, ConnectionResetError(errno.ECONNRESET, "reset"))
        assert Retries().call(action) == "done"
    assert len(tried) == 2


def test_facts_come_from_the_causes_too() -> None:
    error = OSError(errno.EINVAL, "")
    error.__cause__ = AnsweredError("SlowDown", 503)
    assert Facts.of(error).passing
    assert Facts.of(error).codes == {"SlowDown"}
