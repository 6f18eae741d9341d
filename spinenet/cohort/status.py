"""How far a run is: every row's state, failures by reason, pace and time left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from spinenet.cohort.finalise import count_flags, count_states, due_of, success_of
from spinenet.cohort.ledger import Commit, Ledger
from spinenet.cohort.pace import rows_per_second
from spinenet.cohort.plan import Plan, planned
from spinenet.cohort.table_files import read_table_files
from spinenet.storage import Store

SHARDS_AT_ONCE = 64
_COLUMNS = ("scan_id", "status", "reason", "detail")


@dataclass(frozen=True)
class RowState:
    """One manifest row: "done", "failed", "excluded" or "pending", and why."""

    scan_id: str
    state: str
    reason: str | None = None
    detail: str | None = None


@dataclass(frozen=True)
class RunStatus:
    """A run's account; the states sum to the manifest's rows.

    Attributes
    ----------
    states
        Rows by "done", "excluded", "pending" or the reason of their failure.
    flags
        Done scans by flag, the commonest first; one scan can have several.
    rows
        Every manifest row in its order, or the failed ones that were asked for.
    finished
        Whether the tables are written.
    rows_per_second
        Lately, or of the whole run where it is finished; None where nothing is known.
    last_commit
        When the last shard was committed, in UTC as ISO 8601.
    due
        Failed rows by reason that the next start reads again by itself.
    not_validated
        Findings that the weights are not stated to be validated for on real scans; None where that is not
        known.
    """

    out: str
    n_rows: int
    n_shards: int
    n_committed: int
    states: Mapping[str, int]
    rows: tuple[RowState, ...]
    finished: bool
    flags: Mapping[str, int] = field(default_factory=dict)
    rows_per_second: float | None = None
    last_commit: str | None = None
    due: Mapping[str, int] = field(default_factory=dict)
    not_validated: Sequence[str] | None = None

    @property
    def seconds_left(self) -> float | None:
        """At the present pace; None where that is not known."""
        if self.finished:
            return 0.0
        return self.states["pending"] / self.rows_per_second if self.rows_per_second else None

    @property
    def reasons(self) -> dict[str, list[RowState]]:
        """Reasons of failures, the commonest first, and those of their rows that were read."""
        failed = Counter({r: n for r, n in self.states.items() if r not in ("done", "excluded", "pending")})
        groups: dict[str, list[RowState]] = {
            reason: [] for reason, _ in sorted(failed.items(), key=lambda item: (-item[1], item[0]))
        }
        for row in self.rows:
            if row.reason is not None:
                groups.setdefault(row.reason, []).append(row)
        return groups


def read_status(store: Store, *, examples: int = 0, every_row: bool = False) -> RunStatus:
    """The account of the run in ``store``, running or not; nothing is written.

    Counts come from ``_SUCCESS`` or the commit records; parts are read for rows alone.

    Parameters
    ----------
    examples
        Failed rows of each reason to read.
    every_row
        Read all rows. A part that fails its digest is then noticed, and its rows are pending: it will be made
        again. Counts alone notice parts that are absent or of another size.

    Raises
    ------
    RunError
        There is no run.
    """
    plan = planned(store, "run")
    record = success_of(store, plan)
    if record is not None:
        return _finished(store, plan, record, examples, every_row)
    ledger = Ledger(store, plan)
    commits = ledger.commits()
    sound = {shard: commits[shard] for shard in commits.keys() - set(ledger.unfinished(commits))}
    if every_row:
        rows = tuple(_every_row(ledger, sound))
        counts = Counter(row.reason or row.state for row in rows)
        states = {state: counts.pop(state, 0) for state in ("done", "excluded", "pending")} | dict(
            sorted(counts.items())
        )
    else:
        rows = tuple(_examples(ledger, sound, examples))
        states = _with_pending(count_states(sound.values()), plan.n_rows)
    return RunStatus(
        out=store.url(),
        n_rows=plan.n_rows,
        n_shards=plan.n_shards,
        n_committed=len(commits),
        states=states,
        rows=rows,
        finished=False,
        flags=count_flags(sound.values()),
        rows_per_second=rows_per_second(commits.values()),
        last_commit=max((commit.at for commit in commits.values()), default="") or None,
        due=due_of(sound.values()),
        not_validated=plan.not_validated,
    )


def _finished(
    store: Store, plan: Plan, record: Mapping[str, Any], examples: int, every_row: bool
) -> RunStatus:
    rows: Iterable[RowState] = ()
    if every_row or (examples and any(s not in ("done", "excluded") for s in record["states"])):
        wanted = None if every_row else [("status", "==", "failed")]
        table = read_table_files(store, record, "scans", _COLUMNS, wanted)
        rows = _states(table) if every_row else _some_of_each(_states(table), examples)
    return RunStatus(
        out=store.url(),
        n_rows=plan.n_rows,
        n_shards=plan.n_shards,
        n_committed=plan.n_shards,
        states=_with_pending(record["states"], plan.n_rows),
        rows=tuple(rows),
        finished=True,
        flags=record.get("flags", {}),
        rows_per_second=record["rows_per_second"],
        last_commit=record["last_commit"],
        due=record.get("due", {}),
        not_validated=plan.not_validated,
    )


def _with_pending(states: Mapping[str, int], n_rows: int) -> dict[str, int]:
    """Counts in the order done, excluded, pending, then reasons."""
    failed = {reason: n for reason, n in states.items() if reason not in ("done", "excluded")}
    pending = n_rows - sum(states.values())
    return {"done": states["done"], "excluded": states["excluded"], "pending": pending} | failed


def _every_row(ledger: Ledger, commits: Mapping[int, Commit]) -> Iterator[RowState]:
    shards = range(ledger.plan.n_shards)
    for start in range(0, len(shards), SHARDS_AT_ONCE):
        batch = shards[start : start + SHARDS_AT_ONCE]
        parts = ledger.read_parts("scans", [commits[shard] for shard in batch if shard in commits])
        for shard in batch:
            part = parts.get(shard)
            if part is None:
                yield from (RowState(name, "pending") for name in ledger.plan.scan_ids(shard).to_pylist())
            else:
                yield from _states(part)


def _examples(ledger: Ledger, commits: Mapping[int, Commit], wanted: int) -> Iterator[RowState]:
    """The first failed rows of each reason, from the parts that the records name for them."""
    held: Counter[str] = Counter()
    shards = []
    for shard in sorted(commits) if wanted else ():
        new = Counter({r: n for r, n in commits[shard].states.items() if r not in ("done", "excluded")})
        if any(held[reason] < wanted for reason in new):
            shards.append(shard)
        held += new
    parts = ledger.read_parts("scans", [commits[shard] for shard in shards])
    return _some_of_each(_failed(parts[shard] for shard in shards), wanted)


def _failed(parts: Iterable[pa.Table | None]) -> Iterator[RowState]:
    for part in parts:
        if part is not None:
            yield from (row for row in _states(part) if row.reason is not None)


def _some_of_each(rows: Iterable[RowState], wanted: int) -> Iterator[RowState]:
    taken: Counter[str] = Counter()
    for row in rows:
        reason = row.reason or ""
        if taken[reason] < wanted:
            taken[reason] += 1
            yield row


def _states(table: pa.Table) -> Sequence[RowState]:
    rows = table.select(list(_COLUMNS)).to_pylist()
    return [RowState(r["scan_id"], r["status"], r["reason"], r["detail"]) for r in rows]
