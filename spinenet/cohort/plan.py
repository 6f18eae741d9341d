"""The frozen plan of a run: which rows, in which shards, read with what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from spinenet.added_findings import AddedFinding
from spinenet.cohort.layout import RUN, revision_of, run_file
from spinenet.cohort.manifests.columns import COLUMNS
from spinenet.cohort.manifests.manifest import Entry, entries
from spinenet.cohort.tables import from_parquet
from spinenet.errors import RunError
from spinenet.storage import Store, digest

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Conditions:
    """What decides a run's results beside its inputs.

    Attributes
    ----------
    weights
        Name of the bundle.
    weights_fingerprint
        One digest over its files.
    digests
        Digest of each file by its name.
    settings
        The pipeline's settings that change results, by name.
    added
        Findings that the bundle adds.
    """

    weights: str
    weights_fingerprint: str
    digests: Mapping[str, str]
    settings: Mapping[str, Any]
    added: tuple[AddedFinding, ...] = ()


@dataclass(frozen=True)
class Shard:
    """Neighbouring rows of the manifest that are done and committed together."""

    index: int
    entries: tuple[Entry, ...]
    carried: pa.Table


@dataclass(frozen=True)
class Plan:
    """A run as it was begun; every later start goes by it.

    Attributes
    ----------
    table
        The manifest's rows in its order.
    shard_size
        Rows of each shard but the last.
    record
        What ``run.json``, or a later revision of it, holds.
    """

    table: pa.Table
    shard_size: int
    record: Mapping[str, Any]

    @property
    def revision(self) -> int:
        """0 as the run was begun, and one more each time that it was changed."""
        return int(self.record.get("revision", 0))

    @property
    def kept(self) -> tuple[tuple[int, int], ...]:
        """(earlier revision, how many of its first shards still count), the oldest first."""
        return tuple((int(revision), int(shards)) for revision, shards in self.record.get("kept", ()))

    @property
    def n_rows(self) -> int:
        """Rows of the manifest."""
        return int(self.table.num_rows)

    @property
    def n_shards(self) -> int:
        """Shards, the last one perhaps short."""
        return -(-self.n_rows // self.shard_size)

    @property
    def digest(self) -> str:
        """Digest of the rows and of all that decides on their results."""
        deciding = [self.record["plan"]["sha256"], self.record["conditions"], self.revision]
        return digest(json.dumps(deciding, sort_keys=True).encode())

    @property
    def carried(self) -> tuple[pa.Field, ...]:
        """The manifest's own columns."""
        return tuple(field for field in self.table.schema if field.name not in COLUMNS)

    @property
    def added(self) -> tuple[AddedFinding, ...]:
        """Findings that the run's bundle adds to the eleven."""
        told = self.record["conditions"].get("added", ())
        return tuple(AddedFinding.of_plain(fields) for fields in told)

    @property
    def create_only(self) -> bool:
        """Whether the store was found to honour create-only writes when the run was begun."""
        return bool(self.record["create_only"])

    def rows_of(self, index: int) -> int:
        """Rows of one shard."""
        return min(self.shard_size, self.n_rows - index * self.shard_size)

    def scan_ids(self, index: int) -> pa.ChunkedArray:
        """The scan_id of each row of a shard."""
        return self.table.column("scan_id").slice(index * self.shard_size, self.shard_size)

    @property
    def not_validated(self) -> tuple[str, ...] | None:
        """Findings that the weights are not stated to be validated for; None where that is not known."""
        stated = self.record.get("about", {}).get("not_validated")
        return None if stated is None else tuple(stated)

    def shard(self, index: int) -> Shard:
        """One shard's rows."""
        rows = self.table.slice(index * self.shard_size, self.shard_size)
        return Shard(index, tuple(entries(rows)), rows.select([field.name for field in self.carried]))


def load_plan(store: Store) -> Plan | None:
    """The plan of the run in ``store``, or None if none was begun there.

    Raises
    ------
    RunError
        There is one, but it is damaged or of another format.
    """
    name = run_file(newest_revision(store))
    try:
        record = json.loads(store.read(name))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise RunError(
            f"{store.url(name)} is damaged; use a new output folder, or delete the file where no shard "
            "was done yet"
        ) from error
    if record.get("format_version") != FORMAT_VERSION:
        raise RunError(
            f"{store.url()} was begun by another version of spinenet; use that one, or a new output folder"
        )
    plan = record["plan"]
    data = store.read_many([plan["file"]]).get(plan["file"], b"")
    if digest(data) != plan["sha256"]:
        raise RunError(f"{store.url(plan['file'])} is absent or damaged; use a new output folder")
    return Plan(from_parquet(data), int(plan["shard_size"]), record)


def planned(store: Store, begin: str = "plan") -> Plan:
    """The plan of the run in ``store``.

    Parameters
    ----------
    begin
        Command that would begin one.

    Raises
    ------
    RunError
        None was begun there, or as :func:`load_plan`.
    """
    plan = load_plan(store)
    if plan is None:
        place = store.url()
        raise RunError(f"there is no run in {place}; begin one with: spinenet {begin} MANIFEST {place}")
    return plan


def newest_revision(store: Store) -> int:
    """How often the run in ``store`` was changed; 0 also where there is none."""
    return max((revision_of(name) or 0 for name in store.sizes(RUN)), default=0)
