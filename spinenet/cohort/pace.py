"""How fast a run goes, from the times in its commit records."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import pairwise

from spinenet.cohort.ledger import Commit

RECENT = 64
"""Commits that tell of a run's pace now."""


def rows_per_second(commits: Iterable[Commit], last: int | None = RECENT) -> float | None:
    """Rows committed per second of work, over the ``last`` commits or all.

    Between two commits no more time counts than the later one took: a night between a run's end and its next
    start is no work, and clocks that disagree by hours do little harm.

    Returns
    -------
    float or None
        None where no commit has a time.
    """
    timed = sorted((datetime.fromisoformat(c.at), c.seconds, sum(c.states.values())) for c in commits if c.at)
    gaps = [None, *((later[0] - earlier[0]).total_seconds() for earlier, later in pairwise(timed))]
    recent = list(zip(timed, gaps, strict=True))[-last if last else 0 :] if timed else []
    busy = sum(seconds if gap is None else min(gap, seconds) for (_, seconds, _), gap in recent)
    return sum(rows for (_, _, rows), _ in recent) / busy if busy > 0 else None
