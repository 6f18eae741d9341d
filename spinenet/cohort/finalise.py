"""From commit records to the tables that users read, with ``_SUCCESS`` as the last word."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from spinenet.cohort.layout import FOLDERS, RUN, SUCCESS, commits_of, is_table_file
from spinenet.cohort.ledger import Commit, Ledger, state_of
from spinenet.cohort.pace import rows_per_second
from spinenet.cohort.plan import Plan, newest_revision
from spinenet.cohort.retry import due
from spinenet.cohort.tables import TABLES, parquet_writer, schema
from spinenet.errors import Holes, RunError, StorageError
from spinenet.storage import Store
from spinenet.storage.switching import switch_folders

ROWS_PER_FILE = 500_000
ROWS_PER_GROUP = 10_000
"""Rows of a table that are in memory at a time, however many it has."""
SHARDS_AT_ONCE = 32


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


def final_states(store: Store, plan: Plan) -> Mapping[str, int] | None:
    """Rows by state of a run of ``plan`` whose tables are all there, each with the digest in ``_SUCCESS``.

    Of the commits no more than the names are looked at, and of the parts nothing: once the tables are whole
    nothing hangs on them.

    Returns
    -------
    Mapping or None
        Rows by "done", "excluded" or reason; None where the tables are absent, damaged or of another plan.
    """
    record = success_of(store, plan)
    if record is None:
        return None
    # Rows may have been read again since; a run whose records were cleared away is as it was.
    if "commits" in record and Ledger(store, plan).state() not in (None, record["commits"]):
        return None
    wanted = {f"{name}/{part['file']}": part for name in TABLES for part in record["tables"][name]}
    sizes = {f"{name}/{file}": size for name in TABLES for file, size in store.sizes(name).items()}
    if any(sizes.get(name) != part["bytes"] for name, part in wanted.items()):
        return None
    if any(store.digest_of(name, part["bytes"]) != part["sha256"] for name, part in wanted.items()):
        return None
    states: Mapping[str, int] = record["states"]
    return states


def success_of(store: Store, plan: Plan) -> dict[str, Any] | None:
    """What ``_SUCCESS`` holds, or None where it is absent, damaged or of another plan."""
    try:
        record: dict[str, Any] = json.loads(store.read(SUCCESS))
    except (FileNotFoundError, ValueError):
        return None
    return record if record.get("plan") == plan.digest else None


def finalise(ledger: Ledger) -> Mapping[str, int]:
    """Write the tables of a run whose shards are all committed.

    Returns
    -------
    Mapping
        Rows by "done", "excluded" or reason.

    Raises
    ------
    Holes
        A shard has no commit.
    RunError
        The rows of a shard are not those of the plan, or the plan is no longer the newest.
    DamagedParts
        Parts fail their digest.
    """
    ledger.store.sweep([*FOLDERS, commits_of(ledger.plan.revision)])
    commits = ledger.commits()
    holes = [shard for shard in range(ledger.plan.n_shards) if shard not in commits]
    if holes:
        raise Holes(f"{len(holes)} of {ledger.plan.n_shards} shards are not done; start the run again", holes)
    if newest_revision(ledger.store) != ledger.plan.revision:
        raise RunError(
            f"another start changed the run in {ledger.store.url()}; its tables are left to that one"
        )
    with tempfile.TemporaryDirectory(prefix="spinenet-") as folder:
        written = _write_tables(ledger, commits, Path(folder))
        _switch(ledger.store, Path(folder), written)
    states = count_states(commits.values())
    record = {
        "plan": ledger.plan.digest,
        "rows": ledger.plan.n_rows,
        "states": states,
        "flags": count_flags(commits.values()),
        "rows_per_second": rows_per_second(commits.values(), last=None),
        "last_commit": max(commit.at for commit in commits.values()) or None,
        "commits": state_of({shard: commit.generation for shard, commit in commits.items()}),
        "due": due_of(commits.values()),
        "tables": written,
    }
    ledger.store.write(SUCCESS, (json.dumps(record, indent=2) + "\n").encode())
    return states


def due_of(commits: Iterable[Commit]) -> dict[str, int]:
    """Rows by reason that the next start of the run reads again by itself."""
    total: Counter[str] = Counter()
    for commit in commits:
        total.update(due(commit.states, commit.given_up))
    return dict(sorted(total.items()))


def count_states(commits: Iterable[Commit]) -> dict[str, int]:
    """Rows by state over some commits, "done" and "excluded" first, then reasons by name."""
    total: dict[str, int] = {"done": 0, "excluded": 0}
    for commit in commits:
        for state, count in commit.states.items():
            total[state] = total.get(state, 0) + count
    head = {state: total.pop(state) for state in ("done", "excluded")}
    return head | dict(sorted(total.items()))


def count_flags(commits: Iterable[Commit]) -> dict[str, int]:
    """Done scans by flag over some commits, the commonest flag first."""
    total: Counter[str] = Counter()
    for commit in commits:
        total.update(commit.flags)
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def _write_tables(
    ledger: Ledger, commits: Mapping[int, Commit], folder: Path
) -> dict[str, list[dict[str, Any]]]:
    """Files of all tables in a folder for temporary files, which may have less room than they need."""
    try:
        return {table: _write_table(ledger, table, commits, folder / table) for table in TABLES}
    except StorageError:
        raise
    except OSError as error:
        why = str(error) if error.errno is None else os.strerror(error.errno)
        raise RunError(
            f"the tables cannot be prepared in {folder.parent}: {why}; make room there, or set TMPDIR to a "
            "folder with some, and start the run again"
        ) from error


def _write_table(
    ledger: Ledger, table: str, commits: Mapping[int, Commit], folder: Path
) -> list[dict[str, Any]]:
    """Files of a few hundred thousand rows in ``folder``, whose borders do not depend on the shards."""
    written: list[dict[str, Any]] = []
    declared = schema(table, ledger.plan.carried, ledger.plan.added)
    groups = _regroup(_parts(ledger, table, commits), declared)
    folder.mkdir()
    while (first := next(groups, None)) is not None or not written:
        file = folder / f"part-{len(written):05d}.parquet"
        rows = _write_file(file, declared, first, groups)
        with file.open("rb") as data:
            sha256 = hashlib.file_digest(data, "sha256").hexdigest()
        written.append({"file": file.name, "rows": rows, "bytes": file.stat().st_size, "sha256": sha256})
    if len(written) > 1:
        # Who has listed one generation's files finds those or none: never another's of the same names.
        for part in written:
            before = folder / part["file"]
            part["file"] = f"{before.stem}-{part['sha256'][:8]}.parquet"
            before.rename(folder / part["file"])
    return written


def _switch(store: Store, folder: Path, written: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Put new tables in place of any that are there, after everything that takes time.

    ``_SUCCESS`` is absent meanwhile, by which :func:`spinenet.cohort.results.read_results` sees one
    generation. Whoever reads a table's folder himself sees one too on a local disk, or that a file which he
    listed is gone, where a table has several files; two tables, or files on an object store, may be of two
    generations for that moment.
    """
    files = {table: [folder / table / part["file"] for part in written[table]] for table in TABLES}
    switch_folders(store, files, is_table_file, staging=RUN, before=lambda: store.remove([SUCCESS]))


def _write_file(file: Path, declared: pa.Schema, first: pa.Table | None, groups: Iterator[pa.Table]) -> int:
    """A Parquet file of up to :data:`ROWS_PER_FILE` rows, a row group in memory at a time; its rows."""
    rows = 0
    with parquet_writer(file, declared) as writer:
        while first is not None:
            writer.write_table(first, row_group_size=first.num_rows)
            rows += first.num_rows
            first = next(groups, None) if rows < ROWS_PER_FILE else None
    return rows


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
    """Tables of :data:`ROWS_PER_GROUP` rows, the last one of a file or of all perhaps shorter."""
    held, room = declared.empty_table(), ROWS_PER_FILE
    for part in parts:
        held = pa.concat_tables([held, part.cast(declared)])
        while held.num_rows >= (size := min(ROWS_PER_GROUP, room)):
            yield _joined(held.slice(0, size))
            held, room = held.slice(size), (room - size) or ROWS_PER_FILE
    if held.num_rows:
        yield _joined(held)


def _joined(table: pa.Table) -> pa.Table:
    return table.unify_dictionaries().combine_chunks()
