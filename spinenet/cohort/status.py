"""How far a run is: every row's state, failures by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from spinenet.cohort.finalise import SUCCESS
from spinenet.cohort.ledger import Commit, Ledger
from spinenet.cohort.plan import load_plan
from spinenet.errors import RunError
from spinenet.storage import Store


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
    rows
        Every manifest row, in its order.
    finished
        Whether the tables are written.
    """

    out: str
    n_rows: int
    n_shards: int
    n_committed: int
    states: Mapping[str, int]
    rows: tuple[RowState, ...]
    finished: bool

    @property
    def reasons(self) -> dict[str, list[RowState]]:
        """Failed rows by reason, the commonest first."""
        groups: dict[str, list[RowState]] = {}
        for row in self.rows:
            if row.reason is not None:
                groups.setdefault(row.reason, []).append(row)
        return dict(sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])))


def read_status(store: Store) -> RunStatus:
    """The account of the run in ``store``, running or not; nothing is written.

    Raises
    ------
    RunError
        There is no run.
    """
    plan = load_plan(store)
    if plan is None:
        raise RunError(
            f"there is no run in {store.url()}; begin one with: spinenet run MANIFEST {store.url()}"
        )
    ledger = Ledger(store, plan)
    commits = ledger.commits()
    rows = _rows(ledger, commits)
    # From the rows and not the records: a shard whose part is damaged will be made again.
    told = Counter(row.reason or row.state for row in rows)
    states = {state: told.pop(state, 0) for state in ("done", "excluded", "pending")}
    return RunStatus(
        out=store.url(),
        n_rows=plan.n_rows,
        n_shards=plan.n_shards,
        n_committed=len(commits),
        states=states | dict(sorted(told.items())),
        rows=rows,
        finished=store.exists(SUCCESS),
    )


def _rows(ledger: Ledger, commits: Mapping[int, Commit]) -> tuple[RowState, ...]:
    parts = ledger.read_parts("scans", commits.values())
    rows: list[RowState] = []
    for shard in range(ledger.plan.n_shards):
        part = parts.get(shard)
        if part is None:
            rows += [RowState(scan_id, "pending") for scan_id in ledger.plan.scan_ids(shard).to_pylist()]
        else:
            told = part.select(["scan_id", "status", "reason", "detail"]).to_pylist()
            rows += [RowState(r["scan_id"], r["status"], r["reason"], r["detail"]) for r in told]
    return tuple(rows)
