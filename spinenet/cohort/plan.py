"""The frozen plan of a run: which rows, in which shards, read with what."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from spinenet.cohort.manifest import COLUMNS, Entry, Manifest, entries
from spinenet.cohort.tables import from_parquet, to_parquet
from spinenet.errors import OtherRun, RunError
from spinenet.storage import Store, digest

FORMAT_VERSION = 1
RUN_FILE = "_run/run.json"
SETTLE_S = 3.0
"""How long two first starts at once are given to overwrite each other, where the store lets them."""

_log = logging.getLogger(__name__)


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
    """

    weights: str
    weights_fingerprint: str
    digests: Mapping[str, str]
    settings: Mapping[str, Any]


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
        What ``run.json`` holds.
    """

    table: pa.Table
    shard_size: int
    record: Mapping[str, Any]

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
        """SHA-256 of the file that holds the rows."""
        return str(self.record["plan"]["sha256"])

    @property
    def carried(self) -> tuple[pa.Field, ...]:
        """The manifest's own columns."""
        return tuple(field for field in self.table.schema if field.name not in COLUMNS)

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

    def shard(self, index: int) -> Shard:
        """One shard's rows."""
        rows = self.table.slice(index * self.shard_size, self.shard_size)
        return Shard(index, tuple(entries(rows)), rows.select([field.name for field in self.carried]))


def freeze(
    store: Store,
    manifest: Manifest,
    conditions: Conditions,
    *,
    shard_size: int,
    about: Mapping[str, Any],
) -> Plan:
    """The plan of the run in ``store``: the one that is there if it fits, else a new one.

    Before a new plan is written, the store is asked whether it honours create-only writes, and the answer
    is kept in the plan, so that no later start asks again. Where it does not, each start warns once and
    goes on: files still appear whole, and parts are named by their content, so that a shard that two runs
    commit has one valid record or the other, and the tables are those of the records that were read. What
    would be unsafe is two plans in one folder; two first starts within :data:`SETTLE_S` seconds therefore
    wait and go by the plan that remains. More than one run at once there is for the user to avoid, as the
    warning says.

    Parameters
    ----------
    shard_size
        For a new plan; one that is there keeps its own.
    about
        Versions, machine and the like, kept in ``run.json`` for the reader.

    Raises
    ------
    OtherRun
        The folder holds a run of another manifest, other weights or other settings.
    StorageError
        The storage refused.
    """
    if shard_size < 1:
        raise RunError(f"a shard of {shard_size} scans is not possible; use 1 or more")
    frozen = load_plan(store)
    if frozen is None:
        create_only = store.honours_create()
        _write(store, manifest, conditions, shard_size, dict(about), create_only)
        if not create_only:
            time.sleep(SETTLE_S)
        frozen = load_plan(store)
    if frozen is None:
        raise RunError(f"{store.url(RUN_FILE)} was written and is not there; is the storage consistent?")
    others = differences(frozen, manifest, conditions)
    if others:
        raise OtherRun(
            f"{store.url()} was begun with {' and '.join(others)}; "
            "start again with what it was begun with, or choose a new output folder"
        )
    if not frozen.create_only:
        _log.warning(
            "%s does not honour create-only writes: let no second run work on this folder at the same time",
            store.url(),
        )
    return frozen


def load_plan(store: Store) -> Plan | None:
    """The plan of the run in ``store``, or None if none was begun there.

    Raises
    ------
    RunError
        There is one, but it is damaged or of another format.
    """
    try:
        record = json.loads(store.read(RUN_FILE))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise RunError(
            f"{store.url(RUN_FILE)} is damaged; use a new output folder, or delete the file where no shard "
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


def _write(
    store: Store,
    manifest: Manifest,
    conditions: Conditions,
    shard_size: int,
    about: Mapping[str, Any],
    create_only: bool,
) -> None:
    data = to_parquet(manifest.table)
    file = f"_run/plan-{digest(data)[:16]}.parquet"
    store.write(file, data)
    record = {
        "format_version": FORMAT_VERSION,
        "manifest": {"url": manifest.url, "sha256": manifest.digest, "rows": manifest.table.num_rows},
        "plan": {"file": file, "sha256": digest(data), "shard_size": shard_size},
        "conditions": _plain(conditions),
        "create_only": create_only,
        "about": dict(about),
    }
    # Whoever comes first is the run: a second starter reads this one's plan, and goes on or is refused.
    store.create(RUN_FILE, (json.dumps(record, indent=2) + "\n").encode(), atomic=create_only)


def _plain(conditions: Conditions) -> dict[str, Any]:
    return {
        "weights": conditions.weights,
        "weights_fingerprint": conditions.weights_fingerprint,
        "digests": dict(conditions.digests),
        "settings": dict(conditions.settings),
    }


def differences(plan: Plan, manifest: Manifest, conditions: Conditions) -> list[str]:
    """What a run was begun with that is other now; empty if it would go on."""
    begun = plan.record["conditions"]
    found = []
    if begun["weights_fingerprint"] != conditions.weights_fingerprint:
        found.append(
            f"other weights ({begun['weights']} {begun['weights_fingerprint'][:8]}, "
            f"now {conditions.weights} {conditions.weights_fingerprint[:8]})"
        )
    before, now = begun["settings"], conditions.settings
    changed = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    if changed:
        said = ", ".join(f"{name} {before.get(name)}, now {now.get(name)}" for name in changed)
        found.append(f"other settings ({said})")
    if plan.record["manifest"]["sha256"] != manifest.digest:
        found.append(f"another manifest ({plan.record['manifest']['url']}, or it has changed since)")
    return found
