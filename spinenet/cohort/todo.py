"""What a start of a run has to do: shards without a sound commit, and rows that are read again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from spinenet.cohort.finalise import final_states, success_of
from spinenet.cohort.ledger import Ledger
from spinenet.cohort.retry import Again, Retry, due, rows_to_retry


@dataclass(frozen=True)
class Todo:
    """Shards to be done.

    Attributes
    ----------
    shards
        Their numbers.
    generations
        Generation of each one's next commit; 0 where absent.
    again
        Those of them of which only some rows are read again.
    n_before
        Rows that stay as earlier starts left them.
    final
        Rows by state of a run that is finished and of which nothing is to be read again.
    """

    shards: Sequence[int]
    generations: Mapping[int, int]
    again: Mapping[int, Again] = field(default_factory=dict)
    n_before: int = 0
    final: Mapping[str, int] | None = None

    @property
    def n_again(self) -> int:
        """Rows that failed and are read again."""
        return sum(len(rows.tries) for rows in self.again.values())

    def limited_to(self, shards: Collection[int]) -> Todo:
        """What of it is in some shards."""
        mine = [shard for shard in self.shards if shard in shards]
        return replace(self, shards=mine, again={s: self.again[s] for s in mine if s in self.again})


def what_is_left(ledger: Ledger, retry: Retry) -> Todo:
    """What this start has to do; of a finished run, only the rows that are to be read again."""
    store, plan = ledger.store, ledger.plan
    final = final_states(store, plan)
    if final is not None and not _may_be_retried(ledger, final, retry):
        return Todo((), {}, n_before=plan.n_rows, final=final)
    commits = ledger.commits()
    unfinished = ledger.unfinished(commits)
    sound = [commits[shard] for shard in sorted(commits.keys() - set(unfinished))]
    again = rows_to_retry(ledger, sound, retry)
    if final is not None:
        # Once the tables are whole nothing hangs on the parts, and what is lost of them is not missed.
        unfinished = []
        if not again:
            return Todo((), {}, n_before=plan.n_rows, final=final)
    shards = sorted([*unfinished, *again])
    left = sum(plan.rows_of(shard) for shard in unfinished) + sum(len(rows.tries) for rows in again.values())
    generations = {shard: commits[shard].generation + 1 for shard in shards if shard in commits}
    return Todo(shards, generations, again, plan.n_rows - left)


def made_again(ledger: Ledger, damaged: Sequence[int]) -> Todo:
    """Shards whose parts were found to be damaged."""
    commits = ledger.commits()
    return Todo(damaged, {shard: commits[shard].generation + 1 for shard in damaged})


def _may_be_retried(ledger: Ledger, states: Mapping[str, int], retry: Retry) -> bool:
    """Whether a finished run has rows that could be read again, by its last record alone."""
    if retry.reasons is not None:
        return any(states[reason] for reason in retry.reasons & set(states))
    record = success_of(ledger.store, ledger.plan) or {}
    return bool(record.get("due", due(states, {})))
