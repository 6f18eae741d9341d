"""A time limit for work in a thread: an exception first, the end of the process if that does not help.

The exception is an asynchronous one: it strikes its thread between any two instructions of Python. So that it
can strike the work and nothing else,

- the block is entered and left by calls of C into a generator that waits within a ``try``: there is no
  instruction of Python at either end of the block that lies outside both;
- the generator first marks its thread as masked, in the instruction after the one that can be struck, and
  nobody sends to a masked thread. Who is about to send holds a lock, so one more may be under way at most:
  a second ``try`` around the first one meets it.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Generator
from functools import partial
from typing import Literal

from spinenet.errors import ScanError

SECONDS_PER_SCAN = 600.0
"""Default time limit of each step of a scan: reading takes seconds, and inference with the largest networks
on one slow core a few minutes. What is not done by then is not going to be."""

GRACE_SECONDS = 30.0
"""Time that compiled code gets to come back to Python and meet the exception."""

_AGAIN_SECONDS = 1.0
"""Time after which the exception is sent again: where it strikes a finaliser, Python drops it."""

_send = ctypes.pythonapi.PyThreadState_SetAsyncExc
_send.argtypes = (ctypes.c_ulong, ctypes.py_object)
_clear = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p)(
    ("PyThreadState_SetAsyncExc", ctypes.pythonapi)
)


class _TooLong(BaseException):
    """Raised inside the thread; no ``except Exception`` on the way swallows it."""


class _Thread:
    """What all limits of one thread share.

    Attributes
    ----------
    masked
        Whether nothing may be sent, because the thread is in the code of a limit and not in its block.
    sending
        Held from the look at ``masked`` until the exception is sent.
    """

    __slots__ = ("ident", "masked", "sending")

    def __init__(self) -> None:
        self.ident = threading.get_ident()
        self.masked = False
        self.sending = threading.Lock()


class _Limit:
    """One limit.

    Attributes
    ----------
    running
        Whether the thread is inside the block.
    sent
        Whether the time was over while it was.
    left
        A lock that is held until the block has been left.
    """

    __slots__ = ("left", "running", "sent", "thread")

    def __init__(self, thread: _Thread) -> None:
        self.thread = thread
        self.running, self.sent = True, False
        self.left = threading.Lock()
        self.left.acquire()


_here = threading.local()


class time_limit:  # noqa: N801 - used as a function is
    """Stop the work of a ``with`` block that takes longer than ``seconds``.

    Blocks may be nested, and threads may have theirs at once. Other work of the thread is never struck.

    Raises
    ------
    ScanError
        With reason "time_limit", whatever the block made of the exception. Work that does not even answer
        to that takes its worker process with it.
    """

    def __init__(self, seconds: float, grace: float = GRACE_SECONDS) -> None:
        if not hasattr(_here, "thread"):
            _here.thread = _Thread()
        self._steps = _steps(_Limit(_here.thread), seconds, grace)

    @property
    def __enter__(self) -> Callable[[], None]:
        return partial(next, self._steps, None)

    @property
    def __exit__(self) -> Callable[..., Literal[False]]:
        # max() is what calls the generator from C, once for each of its arguments, and returns the first
        return partial(max, False, key=self._steps.send)


def _steps(limit: _Limit, seconds: float, grace: float) -> Generator[int, object, None]:
    """Arm the limit, wait while the block runs, disarm it and say what became of it."""
    thread = limit.thread
    thread.masked = True
    struck: BaseException | None = None
    try:
        try:
            threading.Thread(target=_watch, args=(limit, seconds, grace), daemon=True).start()
            thread.masked = False
            yield 0
        finally:
            thread.masked = True
            _disarm(limit)
    except BaseException as error:
        thread.masked = True
        _disarm(limit)
        struck = error
    thread.masked = False
    if limit.sent:
        raise ScanError("time_limit", f"stopped after {seconds:g} seconds") from None
    if struck is not None:
        # of a limit around this one, or nobody's: an interrupt, a thread that could not be started
        raise struck
    while True:
        yield 0


def _disarm(limit: _Limit) -> None:
    """See that nothing is sent for this limit any more, and nothing that was sent is still to strike."""
    with limit.thread.sending:
        if limit.running:
            limit.running = False
            limit.left.release()
    # One of a limit around this one is lost with it, and sent again.
    _clear(limit.thread.ident, None)


def _watch(limit: _Limit, seconds: float, grace: float) -> None:
    """Send the exception when the time is over, and end the process when that does not help."""
    thread = limit.thread
    if limit.left.acquire(timeout=seconds):
        return
    for _ in range(max(1, round(grace / _AGAIN_SECONDS))):
        with thread.sending:
            if limit.running and not thread.masked:
                limit.sent = True
                _send(thread.ident, _TooLong)
        if limit.left.acquire(timeout=min(grace, _AGAIN_SECONDS)):
            return
    os._exit(75)
