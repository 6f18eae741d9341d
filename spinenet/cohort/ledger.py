"""Which shards of a run are done: staged parts, and a create-only commit record for each shard."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from spinenet.cohort.layout import STAGED, commits_of, part_file, record_file, shard_and_generation
from spinenet.cohort.plan import Plan
from spinenet.cohort.tables import TABLES, from_parquet, to_parquet
from spinenet.storage import Store, digest


@dataclass(frozen=True)
class Part:
    """A Parquet file and what it must hold."""

    file: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Commit:
    """A finished shard.

    Attributes
    ----------
    generation
        Grows when a shard is made again, since one of its parts was damaged or since rows of it were read
        again; the highest counts.
    parts
        The staged part of each table. None in a record that was cut short: it only uses up its generation.
    states
        Rows by "done", "excluded" or the reason of their failure.
    flags
        Done scans by flag; one scan can have several.
    workers
        For each kind of task, how many of the shard's scans each worker did.
    at
        When it was finished, in UTC as ISO 8601; empty where that is not known.
    seconds
        From the start of the shard to then.
    tries
        Starts of the run in which a row that failed by its surroundings was read, by scan_id; 1 where absent.
    given_up
        Of those, by reason, how many are read again only where somebody asks for it.
    """

    shard: int
    generation: int
    parts: Mapping[str, Part]
    states: Mapping[str, int]
    flags: Mapping[str, int] = field(default_factory=dict, kw_only=True)
    workers: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    at: str = ""
    seconds: float = 0.0
    tries: Mapping[str, int] = field(default_factory=dict)
    given_up: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Ledger:
    """The commit records of one run."""

    store: Store
    plan: Plan

    def commits(self) -> dict[int, Commit]:
        """The record that counts of each committed shard, read with one listing and one fetch.

        One listing more for each earlier revision of which shards were kept.
        """
        newest = self._newest()
        read = self.store.read_many(path for _, _, path in newest.values())
        return {
            shard: self._record(shard, generation, read.get(path, b""))
            for shard, (generation, _, path) in sorted(newest.items())
        }

    def state(self) -> str | None:
        """:func:`state_of` the records that count, by listing alone; None where there is none at all."""
        newest = self._newest()
        return state_of({shard: place[0] for shard, place in newest.items()}) if newest else None

    def _newest(self) -> dict[int, tuple[int, int, str]]:
        """(generation, revision, file) of the record that counts of each committed shard."""
        newest: dict[int, tuple[int, int, str]] = {}
        for revision, shards in (*self.plan.kept, (self.plan.revision, self.plan.n_shards)):
            folder = commits_of(revision)
            for name in self.store.sizes(folder):
                shard, generation = shard_and_generation(name) or (shards, 0)
                if shard < shards:
                    place = (generation, revision, f"{folder}/{name}")
                    newest[shard] = max(newest.get(shard, place), place)
        return newest

    def unfinished(self, commits: Mapping[int, Commit]) -> list[int]:
        """Shards without a commit, or with one whose parts are absent or have another size.

        Digests are checked where the parts are read anyway, by the finaliser.
        """
        sizes = self.store.sizes(STAGED)
        return [
            shard
            for shard in range(self.plan.n_shards)
            if shard not in commits
            or not commits[shard].parts
            or any(sizes.get(part.file) != part.bytes for part in commits[shard].parts.values())
        ]

    def stage(self, shard: int, tables: Mapping[str, pa.Table]) -> dict[str, Part]:
        """Write a shard's parts; nothing counts before they are committed."""
        parts = {}
        for name in TABLES:
            data = to_parquet(tables[name])
            sha256 = digest(data)
            file = part_file(name, shard, sha256)
            self.store.write(f"{STAGED}/{file}", data)
            parts[name] = Part(file, tables[name].num_rows, len(data), sha256)
        return parts

    def commit(self, commit: Commit) -> bool:
        """Record a shard as done; False if somebody else's record was there first, and counts."""
        fields = asdict(commit)
        record = json.dumps({**fields, "sha256": _digest_of(fields)}, sort_keys=True).encode()
        name = self.record_name(commit.shard, commit.generation)
        return self.store.create(name, record, atomic=self.plan.create_only)

    def record_name(self, shard: int, generation: int) -> str:
        """Name of a commit record."""
        return record_file(self.plan.revision, shard, generation)

    def read_parts(self, table: str, commits: Iterable[Commit]) -> dict[int, pa.Table | None]:
        """A table's part of each of ``commits``, fetched together; None where it is absent or damaged."""
        parts = {commit.shard: commit.parts[table] for commit in commits if commit.parts}
        read = self.store.read_many(f"{STAGED}/{part.file}" for part in parts.values())
        tables: dict[int, pa.Table | None] = {}
        for shard, part in parts.items():
            data = read.get(f"{STAGED}/{part.file}", b"")
            tables[shard] = from_parquet(data) if digest(data) == part.sha256 else None
        return tables

    def _record(self, shard: int, generation: int, data: bytes) -> Commit:
        """The commit in ``data``; one without parts where that is damaged or does not fit the plan.

        A kill can cut a record short on a disk without hard links.
        """
        damaged = Commit(shard, generation, {}, {})
        try:
            fields: dict[str, Any] = dict(json.loads(data))
            if fields.pop("sha256") != _digest_of(fields):
                return damaged
            parts = {name: Part(**part) for name, part in fields.pop("parts").items()}
            commit = Commit(parts=parts, **fields)
        except (ValueError, TypeError, KeyError):
            return damaged
        fits = (commit.shard, commit.generation) == (shard, generation) and shard < self.plan.n_shards
        complete = set(parts) == set(TABLES) and sum(commit.states.values()) == self.plan.rows_of(shard)
        return commit if fits and complete else damaged


def state_of(generations: Mapping[int, int]) -> str:
    """Digest of which later generation of a shard counts; the same for every sharding where there is none."""
    return digest(json.dumps(sorted(item for item in generations.items() if item[1])).encode())


def _digest_of(fields: Mapping[str, Any]) -> str:
    return digest(json.dumps(fields, sort_keys=True).encode())
