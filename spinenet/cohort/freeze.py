"""The plan of a run is frozen when it begins, and later changed only where its user says so."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from typing import Any, Literal

import pyarrow as pa

from spinenet.cohort.layout import RUN_FILE, plan_file, run_file
from spinenet.cohort.manifests.column_types import TYPES, ColumnTypes, Held
from spinenet.cohort.manifests.manifest import Manifest
from spinenet.cohort.plan import FORMAT_VERSION, Conditions, Plan, load_plan
from spinenet.cohort.tables import to_parquet
from spinenet.errors import OtherRun, RunError
from spinenet.printable import printable
from spinenet.storage import Store, digest

SETTLE_S = 3.0
"""How long two first starts at once are given to overwrite each other, where the store lets them."""

Change = Literal["refuse", "append", "regrade"]
"""What becomes of a run that was begun with something else."""

_INFERRED = (pa.int64(), pa.float64(), pa.bool_())

_log = logging.getLogger(__name__)


def column_types(store: Store, types: Mapping[str, str], change: Change = "refuse") -> ColumnTypes:
    """Types of a manifest's columns for a run in ``store``: as said now, else as the run began with them.

    What was said when the run began holds until another type is said; what was inferred then holds unless
    the run is done anew. So rows that are appended fit, or are refused, and no earlier value changes.

    Raises
    ------
    RunError
        As :func:`spinenet.cohort.plan.load_plan`.
    """
    begun = load_plan(store)
    if begun is None:
        return ColumnTypes(types)
    before: Mapping[str, str] = begun.record["manifest"].get("types", {})
    held = {name: Held(TYPES[kind], exact=False) for name, kind in before.items()}
    if change != "regrade":
        held |= {
            field.name: Held(field.type, exact=True)
            for field in begun.carried
            if field.name not in before and field.type in (*_INFERRED, pa.string())
        }
    return ColumnTypes(types, held)


def freeze(
    store: Store,
    manifest: Manifest,
    conditions: Conditions,
    *,
    shard_size: int,
    about: Mapping[str, Any],
    change: Change = "refuse",
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
    change
        What becomes of a run of another manifest, other weights or other settings. "refuse" leaves it;
        "append" takes rows that were added at the manifest's end, and keeps the shards that were full;
        "regrade" reads all rows anew, and keeps what was detected with the same detector in the same files.

    Raises
    ------
    OtherRun
        The folder holds a run of another manifest, other weights or other settings, and ``change`` does not
        allow for that.
    StorageError
        The storage refused.
    """
    if shard_size < 1:
        raise RunError(f"a shard of {shard_size} scans is not possible; use 1 or more")
    frozen = load_plan(store)
    if frozen is None:
        create_only = store.honours_create()
        _write(store, manifest, conditions, shard_size, dict(about), create_only, {})
        if not create_only:
            time.sleep(SETTLE_S)
        frozen = load_plan(store)
    if frozen is None:
        raise RunError(f"{store.url(RUN_FILE)} was written and is not there; is the storage consistent?")
    others = differences(frozen, manifest, conditions)
    if others:
        frozen = _revised(store, frozen, manifest, conditions, dict(about), change, " and ".join(others))
    if not frozen.create_only:
        _log.warning(
            "%s does not honour create-only writes: let no second run work on this folder at the same time",
            store.url(),
        )
    return frozen


def _revised(
    store: Store,
    frozen: Plan,
    manifest: Manifest,
    conditions: Conditions,
    about: Mapping[str, Any],
    change: Change,
    others: str,
) -> Plan:
    """The run's next revision, if ``change`` allows for what is other now."""
    full = frozen.n_rows // frozen.shard_size
    if change == "append":
        retyped = _retyped(frozen, manifest)
        if retyped is not None:
            raise OtherRun(retyped)
        if _other_conditions(frozen, conditions) or not manifest.table.slice(0, frozen.n_rows).equals(
            frozen.table
        ):
            raise OtherRun(
                f"{store.url()} was begun with {others}; to append, add rows after the manifest's last and "
                "change nothing else"
            )
        kept = [*((earlier, min(n, full)) for earlier, n in frozen.kept), (frozen.revision, full)]
    elif change == "regrade":
        kept = []
    else:
        raise OtherRun(
            f"{store.url()} was begun with {others}; start again with what it was begun with, choose a new "
            "output folder, or allow for it: --append for rows added at the end, --regrade for anything else"
        )
    revision = frozen.revision + 1
    more = {"revision": revision, "kept": kept}
    if not _write(store, manifest, conditions, frozen.shard_size, about, frozen.create_only, more):
        raise OtherRun(f"another start changed the run in {store.url()} at this moment; start again")
    revised = load_plan(store)
    if revised is None or revised.revision != revision:
        raise RunError(f"{store.url(run_file(revision))} was written and is not there; start again")
    return revised


def _retyped(frozen: Plan, manifest: Manifest) -> str | None:
    """What to do about a column whose type in the file is another than when the run began."""
    before = {field.name: field.type for field in frozen.carried}
    for field in manifest.carried:
        if before.get(field.name, field.type) != field.type:
            return (
                f"column {printable(field.name)} of {manifest.url} was {before[field.name]} when the run "
                f"began and is {field.type} now; to append, write the new rows with the type of the old ones"
            )
    return None


def _write(
    store: Store,
    manifest: Manifest,
    conditions: Conditions,
    shard_size: int,
    about: Mapping[str, Any],
    create_only: bool,
    more: Mapping[str, Any],
) -> bool:
    data = to_parquet(manifest.table)
    file = plan_file(digest(data))
    store.write(file, data)
    record = {
        "format_version": FORMAT_VERSION,
        "manifest": {
            "url": manifest.url,
            "sha256": manifest.digest,
            "rows": manifest.table.num_rows,
            "types": dict(manifest.types),
        },
        "plan": {"file": file, "sha256": digest(data), "shard_size": shard_size},
        "conditions": _plain(conditions),
        "create_only": create_only,
        "about": dict(about),
        **more,
    }
    # Whoever comes first is the run: a second starter reads this one's plan, and goes on or is refused.
    content = (json.dumps(record, indent=2) + "\n").encode()
    return store.create(run_file(more.get("revision", 0)), content, atomic=create_only)


def _plain(conditions: Conditions) -> dict[str, Any]:
    return {
        "weights": conditions.weights,
        "weights_fingerprint": conditions.weights_fingerprint,
        "digests": dict(conditions.digests),
        "settings": dict(conditions.settings),
        # absent without any, so that the plans of other runs keep their digests
        **({"added": [finding.plain() for finding in conditions.added]} if conditions.added else {}),
    }


def differences(plan: Plan, manifest: Manifest, conditions: Conditions) -> list[str]:
    """What a run was begun with that is other now; empty if it would go on."""
    others = _other_conditions(plan, conditions)
    if plan.record["manifest"]["sha256"] != manifest.digest:
        others.append(f"another manifest ({plan.record['manifest']['url']}, or it has changed since)")
    return others


def _other_conditions(plan: Plan, conditions: Conditions) -> list[str]:
    begun = plan.record["conditions"]
    others = []
    if begun["weights_fingerprint"] != conditions.weights_fingerprint:
        others.append(
            f"other weights ({begun['weights']} {begun['weights_fingerprint'][:8]}, "
            f"now {conditions.weights} {conditions.weights_fingerprint[:8]})"
        )
    before, now = begun["settings"], conditions.settings
    changed = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    if changed:
        changes = ", ".join(f"{name} {before.get(name)}, now {now.get(name)}" for name in changed)
        others.append(f"other settings ({changes})")
    return others
