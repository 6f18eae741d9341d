"""What becomes of a shard's scans: what fails by its surroundings is tried again, elsewhere or later."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from distributed import KilledWorker

from flows.clusters.address import CPU
from flows.dispatch import all_of, alone, failed_row, workers_there
from flows.trouble import AWAY_S, OF_PATHS, ONCE, STOP_AFTER, away, log, refusal, share_away
from flows.work import PATIENCE, Work
from flows.workers import Outcome
from spinenet.anatomy import SURROUNDINGS
from spinenet.cohort.checkpoints import Detections
from spinenet.cohort.manifests.manifest import Entry
from spinenet.cohort.rows import Failure
from spinenet.errors import RunError
from spinenet.readers.sources.presence import Look, look

LOOK_S = 60.0
"""How long a worker may take to look for a path; storage that hangs is away."""

NO_ANSWER = Look(there=False, missing=None, seen=0)
"""Of a look that took longer, or whose worker died."""

TRIED_AGAIN = SURROUNDINGS - ONCE | {"no_files"}
"""Reasons that get another try in the same start; an empty folder may be a share that is not mounted."""

Failed = tuple[Entry, Outcome]
Verdict = Literal["there", "own", "lost"]
"""Of a path that failed twice: it is there by now, it alone is absent, or its storage is."""


def through_cluster(
    work: Work, entries: Sequence[Entry], known: Mapping[str, Detections]
) -> Iterator[Outcome]:
    """Outcomes as they come; of those that failed by their surroundings, after all has been tried.

    Raises
    ------
    RunError
        Storage is away, or so many scans failed by their surroundings that these are at fault.
    """
    suspects: list[Entry] = []
    failed: list[Failed] = []
    for entry, outcome in all_of(work, entries, known, {}):
        if outcome is None:
            suspects.append(entry)
        elif _reason(outcome) in TRIED_AGAIN:
            failed.append((entry, outcome))
        else:
            yield _settled(work, entry, outcome)
    if failed:
        yield from _again(work, failed, known)
    for entry in suspects:
        yield _settled(work, entry, alone(work, entry, known))


def _again(work: Work, failed: Sequence[Failed], known: Mapping[str, Detections]) -> Iterator[Outcome]:
    """Second tries on other workers, and third ones once storage that was away is there."""
    still: list[Failed] = []
    first = {entry.scan_id: outcome for entry, outcome in failed}
    for entry, outcome in _second_tries(work, failed, known):
        if _reason(outcome) in TRIED_AGAIN:
            still.append((entry, outcome))
        else:
            _blame(work, first[entry.scan_id], outcome)
            yield _settled(work, entry, outcome)
    verdicts = [(entry, outcome, _verdict(work, entry, outcome)) for entry, outcome in still]
    there = [(entry, outcome) for entry, outcome, verdict in verdicts if verdict == "there"]
    for entry, outcome, verdict in verdicts:
        if verdict != "there":
            yield _settled(work, entry, _told(work, entry, outcome, verdict), own=verdict == "own")
    for entry, outcome in _second_tries(work, there, known) if there else ():
        yield _settled(work, entry, outcome)


def _told(work: Work, entry: Entry, outcome: Outcome, verdict: Verdict) -> Outcome:
    """The outcome; a folder that is empty as all others are is no fault of the scan's."""
    if verdict == "lost" and _reason(outcome) == "no_files":
        detail = "the path holds no files, and no other path could be read"
        return failed_row(work, entry, Failure("storage_failed", detail), outcome.trace)
    return outcome


def _second_tries(
    work: Work, failed: Sequence[Failed], known: Mapping[str, Detections]
) -> Iterator[tuple[Entry, Outcome]]:
    """Each once more, on another worker than the one it failed on where there is one."""
    avoided = {entry.scan_id: _failed_on(outcome) for entry, outcome in failed}
    for entry, outcome in all_of(work, [entry for entry, _ in failed], known, avoided):
        yield entry, outcome or alone(work, entry, known)


def _settled(work: Work, entry: Entry, outcome: Outcome, own: bool = False) -> Outcome:
    """The outcome, noted; an error where too many are the surroundings'."""
    reason = _reason(outcome)
    if reason not in SURROUNDINGS:
        if outcome.rows.scan["status"] == "done":
            work.trouble.went_well(entry.path, dict(outcome.trace))
        return outcome
    count = work.trouble.failed(str(reason), own)
    if count >= STOP_AFTER and not own and not work.keep_going:
        raise refusal(str(reason), count)
    return outcome


def _reason(outcome: Outcome) -> str | None:
    reason: str | None = outcome.rows.scan.get("reason")
    return reason


def _failed_on(outcome: Outcome) -> tuple[str, str]:
    """(kind of task, worker) of a scan's last step."""
    steps = [step for step in outcome.trace if step[0] in ("decode", "inference")]
    return steps[-1] if steps else ("", "")


def _blame(work: Work, first: Outcome, second: Outcome) -> None:
    """Retire a worker on which scans fail that others read."""
    kind, worker = _failed_on(first)
    elsewhere = dict(second.trace).get(kind, worker)
    if not work.trouble.healed_elsewhere(worker, elsewhere):
        return
    name, _, resources = worker.rpartition(" ")
    workers = workers_there(work)
    mine = [address for address, told in workers.items() if str(told["name"]) == name]
    wanted = set(resources.split("+"))
    alike = [a for a, told in workers.items() if a not in mine and wanted <= set(told["resources"])]
    if mine and alike:
        log.warning("worker %s is retired: scans failed there by %s, not elsewhere", name, _reason(first))
        work.client.retire_workers(mine, close_workers=True)


def _verdict(work: Work, entry: Entry, outcome: Outcome) -> Verdict:
    """What a look at the path and at others tells, after a wait where storage is away.

    Raises
    ------
    RunError
        Storage stays away, with so much of the manifest that rows are better not marked as failed.
    """
    reason = str(_reason(outcome))
    if reason not in OF_PATHS:
        return "lost"
    with work.trouble.waiting:
        return _after_a_wait(work, entry, reason)


def _after_a_wait(work: Work, entry: Entry, reason: str) -> Verdict:
    paths, trouble = work.ledger.plan.table.column("path"), work.trouble
    read = len(trouble.read)
    others = trouble.others(paths, entry.path)
    waited, pause = 0.0, PATIENCE
    while True:
        work.refuse_if_over()
        found = _look(work, entry.path, others)
        lost = len(paths) if found is NO_ANSWER else away(found, reason, entry.path, paths)
        if found.there:
            trouble.vain_s -= waited
            return "there"
        if not lost or work.keep_going:
            return "lost" if lost else "own"
        if trouble.vain_s + pause > AWAY_S:
            break
        if not waited:
            log.warning("storage seems to be away; waiting for it, up to %.0f s", AWAY_S - trouble.vain_s)
        began = time.monotonic()
        work.stop.wait(pause)
        waited += time.monotonic() - began
        trouble.vain_s += time.monotonic() - began
        pause = min(2 * pause, 8.0)
    if lost >= STOP_AFTER or (read and not found.seen):
        raise share_away(found, lost)
    return "lost"


def _look(work: Work, path: str, others: Sequence[str]) -> Look:
    """From any worker that decodes."""
    future = work.client.submit(look, path, others, resources={CPU: 1}, pure=False, priority=10)
    give_up = time.monotonic() + LOOK_S
    try:
        while not future.done():
            work.refuse_if_over()
            if time.monotonic() > give_up:
                return NO_ANSWER
            time.sleep(0.02)
        found: Look = future.result(timeout=PATIENCE)
    except KilledWorker:  # by a scan beside it
        return NO_ANSWER
    except RunError:
        raise
    except Exception as error:
        raise RunError(f"a worker could not look for a scan: {error}") from error
    finally:
        future.release()
    return found
