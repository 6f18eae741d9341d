"""One shard of a run: its scans' outcomes become parts of the tables, and then one commit record."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime

import pyarrow as pa

from spinenet.cohort.attempts import Crew, settled_outcomes
from spinenet.cohort.checkpoints import (
    detection_key,
    load_detections,
    save_detections,
)
from spinenet.cohort.domain_flag import FLAG
from spinenet.cohort.job import Job
from spinenet.cohort.ledger import Commit
from spinenet.cohort.plan import Shard
from spinenet.cohort.retry import Again, merged, parts_that_stay, tries_of
from spinenet.cohort.rows import excluded_rows
from spinenet.cohort.scan import Outcome
from spinenet.cohort.tables import TABLES, to_table

log = logging.getLogger("spinenet")


def do_shard(job: Job, crew: Crew, index: int) -> Mapping[str, int]:
    """Do a shard, or those of its rows that are to be read again, and commit it.

    Returns
    -------
    Mapping
        Its rows by "done", "excluded" or reason.

    Raises
    ------
    RunError
        The workers, the weights or the surroundings failed, not a scan.
    """
    began = time.monotonic()
    shard = job.ledger.plan.shard(index)
    again = job.todo.again.get(index)
    # What does not fit its digest any more is made again whole.
    kept = parts_that_stay(job.ledger, again.commit) if again else None
    again = again if kept else None
    key = detection_key(job.detector_digest, job.orders.settings.deciding_detections, shard.entries)
    earlier = load_detections(job.ledger.store, job.checkpoints.get(index, ()), index, key)
    entries = [entry for entry in shard.entries if again is None or entry.scan_id in again.tries]
    outcomes = {entry.scan_id: Outcome(excluded_rows(entry)) for entry in entries if entry.excluded}
    for outcome in settled_outcomes(job, crew, [entry for entry in entries if not entry.excluded], earlier):
        scan = outcome.rows.scan
        outcomes[scan["scan_id"]] = outcome
        job.report(scan["scan_id"], scan["reason"] if scan["status"] == "failed" else None)
    detected = {scan_id: o.detections for scan_id, o in outcomes.items() if o.detections is not None}
    if not detected.keys() <= earlier.keys():
        save_detections(job.ledger.store, index, key, dict(sorted({**earlier, **detected}.items())))
    ordered = [outcomes[entry.scan_id] for entry in entries]
    return _commit(job, shard, _tables(job, shard, ordered, kept), again, ordered, began)


def _tables(
    job: Job, shard: Shard, outcomes: list[Outcome], kept: Mapping[str, pa.Table] | None
) -> dict[str, pa.Table]:
    """The shard's part of each table: rows of outcomes, and those that are kept."""
    rows = [outcome.rows for outcome in outcomes]
    ids = [r.scan["scan_id"] for r in rows]
    added = job.ledger.plan.added
    places = {entry.scan_id: at for at, entry in enumerate(shard.entries)}
    tables = {
        "scans": to_table("scans", [r.scan for r in rows], shard.carried.take([places[i] for i in ids])),
        "vertebrae": to_table("vertebrae", [row for r in rows for row in r.vertebrae], added=added),
        "grades": to_table("grades", [row for r in rows for row in r.grades], added=added),
    }
    if kept is None:
        return tables
    order = job.ledger.plan.scan_ids(shard.index)
    return {name: merged(kept[name], tables[name], ids, order) for name in TABLES}


def _commit(
    job: Job,
    shard: Shard,
    tables: Mapping[str, pa.Table],
    again: Again | None,
    outcomes: list[Outcome],
    began: float,
) -> Mapping[str, int]:
    scans = tables["scans"].select(["scan_id", "status", "reason", "flags"]).to_pylist()
    states = Counter(str(row["reason"] if row["status"] == "failed" else row["status"]) for row in scans)
    flags = Counter(flag for row in scans if row["status"] == "done" for flag in row["flags"])
    failed = {row["scan_id"]: row["reason"] for row in scans if row["status"] == "failed"}
    tries, given_up = tries_of(again, failed)
    workers: dict[str, Counter[str]] = {}
    for kind, worker in (step for outcome in outcomes for step in outcome.trace):
        workers.setdefault(kind, Counter())[worker] += 1
    commit = Commit(
        shard=shard.index,
        generation=job.todo.generations.get(shard.index, 0),
        parts=job.ledger.stage(shard.index, tables),
        states=dict(states),
        flags=dict(flags),
        workers={kind: dict(counts) for kind, counts in workers.items()},
        at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        seconds=round(time.monotonic() - began, 3),
        tries=tries,
        given_up=given_up,
    )
    job.ledger.commit(commit)
    if flags[FLAG]:
        _warn_once(job, shard.index)
    return states


def _warn_once(job: Job, index: int) -> None:
    """Say once in each start of a run that there are scans that its weights are not for."""
    domain = job.orders.domain
    if domain is not None and job.warned.setdefault(FLAG, index) == index:
        log.warning(
            "the weights %s are stated to be for %s: scans that are not have the flag %s",
            job.orders.weights.name, domain.scans, FLAG,
        )  # fmt: skip
