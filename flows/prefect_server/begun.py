"""What a run and the flow that shows it know of each other."""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from flows.prefect_server.server import OwnServer
from flows.tasks import News
from spinenet.redaction import redacted

END_S = 30.0
"""How long a run that has ended waits for a server that takes in nothing more of it."""

log = logging.getLogger("spinenet")

HERE: ContextVar[News | None] = ContextVar("HERE", default=None)
"""News of the flow run that a run is in, where Prefect itself began it."""


class Telling:
    """How the telling of a run goes."""

    def __init__(self) -> None:
        self.last_heard: float | None = None
        self._missed: float | None = None

    def heard(self) -> None:
        """Note that the server has just taken something in."""
        self.last_heard = time.monotonic()

    def miss(self, error: Exception) -> None:
        """Say once that the server is not told, or not any more."""
        warned, self._missed = self._missed is not None, time.monotonic()
        if not warned:
            log.warning("Prefect does not show this run, which goes on without it: %s", _sentence(error))

    @property
    def lost(self) -> bool:
        """Whether the server was missed, and has taken in nothing since."""
        return self._missed is not None and (self.last_heard is None or self.last_heard < self._missed)


@dataclass(frozen=True)
class Begun:
    """A run that goes on already when its flow begins, and the server that is told of it.

    Attributes
    ----------
    ended
        What becomes of the run.
    own
        The process of the server, where it was started for this run.
    """

    news: News
    ended: Future[Any]
    telling: Telling
    url: str
    own: OwnServer | None


BEGUN: ContextVar[Begun | None] = ContextVar("BEGUN", default=None)
"""The run that a flow is to show, where it goes on already."""


def _sentence(error: Exception) -> str:
    """The first line of an error, or of the first that lies behind it and has one, without secrets."""
    text = str(error).strip() or type(error).__name__
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # pydantic counts what is wrong in the first line, and names it in the next two
    joined = " ".join(lines[:3]) if "validation error" in lines[0] else lines[0]
    return redacted(joined)
