"""What all shards of a run share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from distributed import Client

from flows.progress import Reporter
from flows.stopping import STOPPED
from flows.trouble import Trouble
from flows.window import Window
from flows.workers import STEPS, Orders, Steps
from spinenet.cohort.ledger import Ledger
from spinenet.cohort.retry import Again
from spinenet.errors import RunError

PATIENCE = 0.5
"""Seconds between two looks at whether the run is to stop."""


class Stopped(RunError):  # noqa: N818 - a wish of the user's, no defect
    """The run was asked to stop; what is committed stays."""


@dataclass(frozen=True)
class Work:
    """A run's cluster, ledger and orders.

    Attributes
    ----------
    generations
        Generation of each shard's next commit; 0 where absent.
    checkpoints
        Names of each shard's detection checkpoints that were there at the start.
    window
        Room on the cluster, shared by all shards.
    again
        Committed shards of which only some rows are read again.
    refuse_if_lost
        Raises RunError where the cluster has lost a class of its workers.
    keep_going
        Whether rows that fail by their surroundings are committed however many they are.
    """

    client: Client
    ledger: Ledger
    orders: Orders
    detector_digest: str
    checkpoints: Mapping[int, Sequence[str]]
    generations: Mapping[int, int]
    window: Window
    stop: threading.Event
    reporter: Reporter
    refuse_if_lost: Callable[[], None] = lambda: None
    steps: Steps = STEPS
    again: Mapping[int, Again] = field(default_factory=dict)
    keep_going: bool = False
    alone: threading.Lock = field(default_factory=threading.Lock)
    trouble: Trouble = field(default_factory=Trouble)

    def refuse_if_over(self) -> None:
        """Raise :class:`Stopped` once the run is to end, and RunError where it has nobody to go on with."""
        if self.stop.is_set():
            raise Stopped(STOPPED)
        self.refuse_if_lost()
