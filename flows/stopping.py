"""A run that a signal ends in order, and a process that ends whatever hangs in it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from types import FrameType
from typing import NoReturn

from spinenet.errors import STOPPED

STOP_S = 150.0
"""From the wish to end, or the error that ends a run, to its end: shards stop, servers are told, workers end.
What takes longer hangs, as a write to a share that is away does."""

LEAVE_S = 20.0
"""From the last word of a command to the end of its process, for threads of libraries to end."""


class Stop(threading.Event):
    """Set once a run is to end.

    Attributes
    ----------
    sentence
        Why, for the user.
    own_process
        Whether the process is this run's alone, so that it may be ended where something hangs in it.
    """

    own_process = False

    def __init__(self) -> None:
        super().__init__()
        self.sentence = STOPPED

    @contextmanager
    def at_the_end(self) -> Iterator[None]:
        """Set once the block ends, well or not; what was opened around it has to end in time then."""
        try:
            yield
            self.sentence = "all scans are read, but not all processes ended; start it again to finish"
        except Exception as error:
            if not self.is_set():
                self.sentence = str(error)
            raise
        finally:
            self.set()


class Wish:
    """Somebody's wish that a run ends, which goes on in another thread than the one that signals come to."""

    def __init__(self) -> None:
        self._asked = False
        self._heeded: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def ask(self) -> None:
        """Have what runs now, or is yet to begin, end in order."""
        with self._lock:
            self._asked = True
            heeded = list(self._heeded)
        for stop in heeded:
            stop()

    @contextmanager
    def heeded(self, stop: Callable[[], None]) -> Iterator[None]:
        """Call ``stop`` once it is asked for during the block, or was before it."""
        with self._lock:
            self._heeded.append(stop)
            asked = self._asked
        if asked:
            stop()
        try:
            yield
        finally:
            with self._lock:
                self._heeded.remove(stop)


WISH: ContextVar[Wish | None] = ContextVar("WISH", default=None)
"""The wish of whoever began the run that goes on in this thread, where that is not its own process."""


def leave(code: int) -> NoReturn:
    """End this process with an exit status, also where a thread does not end."""
    try:
        _end_after(LEAVE_S, code)
    except (RuntimeError, MemoryError):
        # without a thread that could end them, none of the others is waited for
        _exit(code)
    sys.exit(code)


def _end_after(seconds: float, code: int) -> None:
    def wait() -> None:
        threading.Event().wait(seconds)
        _exit(code)

    threading.Thread(target=wait, name="end", daemon=True).start()


def _exit(code: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


@contextmanager
def stoppable(hurry: Callable[[], None]) -> Iterator[Stop]:
    """An event that SIGTERM and Ctrl-C set, and ``hurry`` with it; a second Ctrl-C ends the process.

    In a process of its own, a block that does not end in time after the event is left with a sentence.
    """
    stop, ended = Stop(), threading.Event()

    def watch() -> None:
        stop.wait()
        if not ended.wait(STOP_S):
            sys.stderr.write(f"spinenet: {stop.sentence} (a part of it hung and was left)\n")
            _exit(1)

    if Stop.own_process:
        threading.Thread(target=watch, name="watch", daemon=True).start()

    def ask() -> None:
        stop.set()
        hurry()

    wish = WISH.get()
    try:
        with _signals(stop, hurry), wish.heeded(ask) if wish else nullcontext():
            yield stop
    finally:
        ended.set()


@contextmanager
def _signals(stop: Stop, hurry: Callable[[], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()
        hurry()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
