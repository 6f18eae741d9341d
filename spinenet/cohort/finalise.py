"""From commit records to the tables that users read, with ``_SUCCESS`` as the last word."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from spinenet.cohort.checkpoints import FOLDER as DETECTIONS
from spinenet.cohort.ledger import COMMITS, STAGED, Commit, Ledger
from spinenet.cohort.tables import TABLES, schema, to_parquet
from spinenet.errors import RunError
from spinenet.storage import Store, digest

SUCCESS = "_SUCCESS"
ROWS_PER_FILE = 500_000
SHARDS_AT_ONCE = 128
FOLDERS = ("", "_run", COMMITS, STAGED, DETECTIONS, *TABLES)
"""Where a run writes."""


class DamagedParts(RunError):  # noqa: N818 - says what was found; the run mends it
    """Committed parts that are absent or fail their digest.

    Attributes
    ----------
    shards
        Those that must be made again.
    """

    def __init__(self, shards: Sequence[int]) -> None:
        super().__init__(
            f"parts of {len(shards)} shards are damaged; start the run again to have them remade"
        )
        self.shards = tuple(shards)


def is_final(store: Store) -> bool:
    """Whether the tables are all there, each with the digest that ``_SUCCESS`` names."""
    return final_states(store) is not None


def final_states(store: Store) -> dict[str, int] | None:
    """Rows by "done", "excluded" or reason of a finished run; None if it is not, or a table is damaged.

    A resumed run that asks this first needs no commit record: one request for ``_SUCCESS``, and one for
    each file of the tables, whose digests are checked.
    """
    try:
        record = json.loads(store.read(SUCCESS))
        states = {str(state): int(count) for state, count in record["states"].items()}
        wanted = {
            f"{name}/{part['file']}": part["sha256"] for name in TABLES for part in record["tables"][name]
        }
        for name, sha256 in wanted.items():
            if digest(store.read(name)) != sha256:
                return None
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return states if sum(states.values()) == record["rows"] else None


def finalise(ledger: Ledger) -> Mapping[str, int]:
    """Write the tables of a run whose shards are all committed.

    Returns
    -------
    Mapping
        Rows by "done", "excluded" or reason.

    Raises
    ------
    RunError
        A shard has no commit, or its rows are not those of the plan.
    DamagedParts
        Parts fail their digest.
    """
    ledger.store.sweep(FOLDERS)
    commits = ledger.commits()
    holes = [shard for shard in range(ledger.plan.n_shards) if shard not in commits]
    if holes:
        raise RunError(f"{len(holes)} of {ledger.plan.n_shards} shards are not done; start the run again")
    ledger.store.remove([SUCCESS])
    written = {table: _write_table(ledger, table, commits) for table in TABLES}
    states = count_states(commits.values())
    record = {"rows": ledger.plan.n_rows, "states": states, "tables": written}
    ledger.store.write(SUCCESS, (json.dumps(record, indent=2) + "\n").encode())
    return states


def count_states(commits: Any) -> dict[str, int]:
    """Rows by state over some commits, "done" and "excluded" first, then reasons by name."""
    total: dict[str, int] = {"done": 0, "excluded": 0}
    for commit in commits:
        for state, count in commit.states.items():
            total[state] = total.get(state, 0) + count
    head = {state: total.pop(state) for state in ("done", "excluded")}
    return head | dict(sorted(total.items()))


def _write_table(ledger: Ledger, table: str, commits: Mapping[int, Commit]) -> list[dict[str, Any]]:
    """Files of a few hundred thousand rows whose borders do not depend on the shards."""
    store = ledger.store
    written: list[dict[str, Any]] = []
    for rows in _regroup(_parts(ledger, table, commits), schema(table, ledger.plan.carried)):
        data = to_parquet(rows)
        file = f"part-{len(written):05d}.parquet"
        store.write(f"{table}/{file}", data)
        written.append({"file": file, "rows": rows.num_rows, "sha256": digest(data)})
    kept = {part["file"] for part in written}
    store.remove(
        f"{table}/{name}" for name in store.sizes(table) if name.startswith("part-") and name not in kept
    )
    return written


def _parts(ledger: Ledger, table: str, commits: Mapping[int, Commit]) -> Iterator[pa.Table]:
    """A table's parts in manifest order, each checked, a batch of shards in memory at a time."""
    order = list(range(ledger.plan.n_shards))
    damaged: list[int] = []
    for start in range(0, len(order), SHARDS_AT_ONCE):
        batch = order[start : start + SHARDS_AT_ONCE]
        parts = ledger.read_parts(table, [commits[shard] for shard in batch])
        for shard in batch:
            part = parts.get(shard)
            if part is None:
                damaged.append(shard)
            elif not damaged:
                if table == "scans" and not part.column("scan_id").equals(ledger.plan.scan_ids(shard)):
                    raise RunError(
                        f"the rows of shard {shard} are not those of the plan; use a new output folder"
                    )
                yield part
    if damaged:
        raise DamagedParts(damaged)


def _regroup(parts: Iterator[pa.Table], declared: pa.Schema) -> Iterator[pa.Table]:
    """Tables of :data:`ROWS_PER_FILE` rows, the last one shorter; at least one, be it empty."""
    held = declared.empty_table()
    yielded = False
    for part in parts:
        held = pa.concat_tables([held, part.cast(declared)])
        while held.num_rows >= ROWS_PER_FILE:
            yield _joined(held.slice(0, ROWS_PER_FILE))
            held, yielded = held.slice(ROWS_PER_FILE), True
    if held.num_rows or not yielded:
        yield _joined(held)


def _joined(table: pa.Table) -> pa.Table:
    return table.unify_dictionaries().combine_chunks()
