"""A run that a signal ends in order."""

from __future__ import annotations

import contextvars
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


def in_a_thread(action: Callable[[], object]) -> None:
    """Do ``action`` in a thread while this one stays open to signals, and raise what it raises."""
    raised: list[BaseException] = []
    context = contextvars.copy_context()

    def body() -> None:
        try:
            context.run(action)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=body, name="flow")
    thread.start()
    while thread.is_alive():
        thread.join(0.5)
    if raised:
        raise raised[0]


@contextmanager
def stoppable(hurry: Callable[[], None]) -> Iterator[threading.Event]:
    """An event that SIGTERM and Ctrl-C set, and ``hurry`` with it; a second Ctrl-C ends the process."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()
        hurry()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
