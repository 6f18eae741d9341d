"""What all shards of one start of a run share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from spinenet.cohort.ledger import Ledger
from spinenet.cohort.part import Part
from spinenet.cohort.scan import Orders
from spinenet.cohort.todo import Todo
from spinenet.cohort.trouble import Trouble


def _no_report(scan_id: str, reason: str | None) -> None:
    """Report to nobody."""


@dataclass(frozen=True)
class Job:
    """A start of a run: its ledger, its orders, and what is left to do.

    Attributes
    ----------
    detector_digest
        Of the detector's file: detections depend on it.
    checkpoints
        Names of each shard's detection checkpoints that were there at the start.
    keep_going
        Whether rows that fail by their surroundings are committed however many they are.
    report
        Called with the scan_id and the reason of its failure, or None, of each scan that is done.
    warned
        What was warned of already in this start, by flag, with the shard that did.
    """

    ledger: Ledger
    orders: Orders
    detector_digest: str
    todo: Todo
    checkpoints: Mapping[int, Sequence[str]] = field(default_factory=dict)
    keep_going: bool = False
    report: Callable[[str, str | None], None] = _no_report
    trouble: Trouble = field(default_factory=Trouble)
    warned: dict[str, int] = field(default_factory=dict)

    def rows_left(self, part: Part) -> int:
        """Rows of a part of the run that are not done, or are read again."""
        todo = self.todo.limited_to(part.shards(self.ledger.plan.n_shards))
        whole = [shard for shard in todo.shards if shard not in todo.again]
        return sum(self.ledger.plan.rows_of(shard) for shard in whole) + todo.n_again
