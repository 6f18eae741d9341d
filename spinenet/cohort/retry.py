"""Failed rows of a run that are read again: which ones, and how they take their places in a shard."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import fsspec
import pyarrow as pa
import pyarrow.compute as pc

from spinenet.anatomy import REASONS, SURROUNDINGS
from spinenet.cohort.ledger import Commit, Ledger
from spinenet.cohort.tables import TABLES, schema
from spinenet.errors import ReasonError

AUTOMATIC_TRIES = 3
"""Starts of a run in which a row is read, the first one included, before it waits to be asked for.

An outage is over by then, and a scan that ends its worker or takes hours does so no more than this often.
"""

LOOKED_FOR = "path_missing"
"""The reason whose rows are looked for at every start: whether a path is there now is quickly seen."""

SHARDS_AT_ONCE = 64
LOOKS_AT_ONCE = 16


@dataclass(frozen=True)
class Retry:
    """Which failed rows a start of a run reads again.

    Attributes
    ----------
    reasons
        Those of the rows; None stands for the surroundings' reasons, as far as another try may do better.
    """

    reasons: frozenset[str] | None = None

    @classmethod
    def of(cls, reasons: Iterable[str]) -> Retry:
        """A retry that somebody asked for.

        Raises
        ------
        ReasonError
            There is no such reason.
        """
        asked = frozenset(reasons)
        unknown = sorted(asked - set(REASONS))
        if unknown:
            raise ReasonError(
                f"there is no reason {', '.join(map(repr, unknown))}; the reasons are {', '.join(REASONS)}"
            )
        return cls(asked)

    @classmethod
    def of_all(cls) -> Retry:
        """Every failed row is read again."""
        return cls(frozenset(REASONS))


@dataclass(frozen=True)
class Again:
    """Rows of a committed shard that are to be read again.

    Attributes
    ----------
    commit
        The shard's record, with the rows that stay.
    tries
        Starts in which each of the rows, by scan_id, was read so far.
    """

    commit: Commit
    tries: Mapping[str, int] = field(default_factory=dict)


def due(states: Mapping[str, int], given_up: Mapping[str, int]) -> dict[str, int]:
    """Rows by reason that the next start reads again by itself, or looks whether their path is there now.

    Parameters
    ----------
    states
        Rows by state.
    given_up
        Those of them that were read often enough, by reason.
    """
    left = {reason: n - given_up.get(reason, 0) for reason, n in states.items() if reason in SURROUNDINGS}
    return {reason: n for reason, n in left.items() if n > 0}


def rows_to_retry(
    ledger: Ledger,
    commits: Iterable[Commit],
    retry: Retry,
    there: Callable[[str], bool] | None = None,
) -> dict[int, Again]:
    """Failed rows to be read again, by shard.

    Parameters
    ----------
    commits
        Whose parts are there.
    there
        Whether a path that was missing is there now; None looks.
    """
    every = {commit.shard: commit for commit in commits if _wanted(commit, retry)}
    again: dict[int, Again] = {}
    with ThreadPoolExecutor(LOOKS_AT_ONCE) as pool:
        for start in range(0, len(every), SHARDS_AT_ONCE):
            batch = [every[shard] for shard in sorted(every)[start : start + SHARDS_AT_ONCE]]
            parts = ledger.read_parts("scans", batch)
            for commit in batch:
                part = parts[commit.shard]
                # One that is damaged is made again whole, once the finaliser has found it.
                rows = [] if part is None else list(_failed(part, commit, retry))
                if retry.reasons is None:
                    looked = pool.map(lambda row: row[1] != LOOKED_FOR or (there or is_there)(row[2]), rows)
                    rows = [row for row, may in zip(rows, looked, strict=True) if may]
                if rows:
                    tries = {scan_id: commit.tries.get(scan_id, 1) for scan_id, _, _ in rows}
                    again[commit.shard] = Again(commit, tries)
    return again


def _wanted(commit: Commit, retry: Retry) -> bool:
    if not commit.parts:
        return False
    if retry.reasons is None:
        return bool(due(commit.states, commit.given_up))
    return any(reason in retry.reasons for reason in commit.states)


def _failed(part: pa.Table, commit: Commit, retry: Retry) -> Iterator[tuple[str, str, str]]:
    """(scan_id, reason, path) of each failed row of a shard that is wanted."""
    wanted = SURROUNDINGS if retry.reasons is None else retry.reasons
    rows = part.select(["scan_id", "status", "reason", "path"]).to_pylist()
    for row in rows:
        if row["status"] != "failed" or row["reason"] not in wanted:
            continue
        spent = commit.tries.get(row["scan_id"], 1) >= AUTOMATIC_TRIES and row["reason"] != LOOKED_FOR
        if retry.reasons is not None or not spent:
            yield row["scan_id"], row["reason"], row["path"]


def is_there(path: str) -> bool:
    """Whether a path that was missing is to be tried: it is there, or this machine cannot tell."""
    try:
        fs, root = fsspec.core.url_to_fs(path)
        return bool(fs.glob(root)) if any(mark in root for mark in "*?[") else bool(fs.exists(root))
    except Exception:  # what a filesystem may raise is not of one kind; the worker says what it is
        return True


def tries_of(again: Again | None, failed: Mapping[str, str]) -> tuple[dict[str, int], dict[str, int]]:
    """What a shard's new record says of tries: (tries by scan_id, rows given up by reason).

    Parameters
    ----------
    again
        What was read again; None for a shard that was read whole.
    failed
        Reason of each failed row by scan_id; of rows that stayed too.
    """
    before = {} if again is None else {**again.commit.tries}
    now = {} if again is None else {scan_id: n + 1 for scan_id, n in again.tries.items()}
    tries = {
        scan_id: n
        for scan_id, n in {**before, **now}.items()
        if n > 1 and failed.get(scan_id, "") in SURROUNDINGS
    }
    given_up: dict[str, int] = {}
    for scan_id, n in tries.items():
        reason = failed[scan_id]
        if n >= AUTOMATIC_TRIES and reason != LOOKED_FOR:
            given_up[reason] = given_up.get(reason, 0) + 1
    return tries, given_up


def parts_that_stay(ledger: Ledger, commit: Commit) -> dict[str, pa.Table] | None:
    """The tables of a committed shard, each verified by its digest; None where one does not do any more."""
    parts = {name: ledger.read_parts(name, [commit]).get(commit.shard) for name in TABLES}
    sound = {name: part for name, part in parts.items() if part is not None}
    plan = ledger.plan
    fits = all(
        part.schema.names == schema(name, plan.carried, plan.added).names for name, part in sound.items()
    )
    return sound if fits and len(sound) == len(TABLES) else None


def merged(kept: pa.Table, new: pa.Table, replaced: Collection[str], order: pa.ChunkedArray) -> pa.Table:
    """A shard's table with some scans' rows replaced.

    Parameters
    ----------
    kept
        As it was committed.
    new
        Rows of the scans that were read again.
    replaced
        scan_id of those.
    order
        scan_id of every row of the shard, in the manifest's order.
    """
    stays = pc.invert(pc.is_in(kept.column("scan_id"), value_set=pa.array(sorted(replaced), pa.string())))
    both = pa.concat_tables([kept.filter(stays).cast(new.schema), new])
    places = pc.index_in(both.column("scan_id"), value_set=order.combine_chunks())
    by_place = pa.table({"place": places, "row": pa.array(range(both.num_rows), pa.int64())})
    rows = pc.sort_indices(by_place, sort_keys=[("place", "ascending"), ("row", "ascending")])
    return both.unify_dictionaries().take(rows).combine_chunks()
