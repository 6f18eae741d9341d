"""Requests that are tried again while their trouble may pass.

Trying again is done here and nowhere else: :mod:`spinenet.storage.options` turns off what the S3 packages
do of themselves, which multiplies (botocore's 5 tries within s3fs's 5), knows no jitter and leaves out a
connection that breaks in the midst of an answer. What the Azure and Google packages do comes on top.

Written here, for a SIGTERM ends a wait without another try: tenacity 9.2 makes one more (3 s, where a store
takes 3 s to fail) and saves 4 of 48 lines; stamina 26.1 cannot be told, and waits up to its 8 s.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from spinenet.storage.answers import Facts

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 8.0
LOOK_UP_EVERY_S = 0.25

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass
class Retries:
    """Exponential backoff with jitter, within a bounded time.

    Attributes
    ----------
    budget_s
        Seconds after which an operation's trouble is final; a try that was begun may go on for the store's
        own time-out.
    first_budget_s
        The same as long as the store was never reached: an address may be wrong, and its user waits.
    reached
        Whether the store ever answered.
    hurried
        Set by :meth:`hurry`.
    """

    budget_s: float = 90.0
    first_budget_s: float = 6.0
    reached: bool = False
    hurried: bool = False

    def hurry(self) -> None:
        """Wait no more, in any thread: the run is to end soon."""
        self.hurried = True

    def call(self, action: Callable[[], _T]) -> _T:
        """The result of ``action``, which must be safe to do twice.

        Raises
        ------
        Exception
            What ``action`` raised, where that does not pass, or did not in time.
        """
        began, tries = time.monotonic(), 0
        while True:
            try:
                result = action()
            except Exception as error:
                tries += 1
                if not self.waits(error, began, tries):
                    raise
            else:
                self.reached = True
                return result

    def waits(self, error: BaseException, began: float, tries: int) -> bool:
        """Wait before the next try, if there is to be one.

        Parameters
        ----------
        error
            What the last of ``tries`` tries met.
        began
            When the first one was begun, of :func:`time.monotonic`.
        """
        facts = Facts.of(error)
        self.reached = self.reached or bool(facts.statuses)
        if not facts.passing:
            return False
        budget = self.budget_s if self.reached or not facts.unreachable else self.first_budget_s
        most = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(tries, 16))
        wait = random.uniform(most / 4, most)
        if time.monotonic() + wait > began + budget:
            return False
        _log.debug("the store failed (%s), try %d again in %.1f s", type(error).__name__, tries, wait)
        until = time.monotonic() + wait
        while not self.hurried and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, LOOK_UP_EVERY_S))
        return not self.hurried
