"""The scans of a shard until each has its outcome: what fails by its surroundings is tried again."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, Protocol

from spinenet.anatomy import SURROUNDINGS
from spinenet.cohort.checkpoints import Detections
from spinenet.cohort.job import Job
from spinenet.cohort.manifests.manifest import Entry
from spinenet.cohort.rows import Failure
from spinenet.cohort.scan import Outcome, failed
from spinenet.cohort.trouble import AWAY_S, OF_PATHS, ONCE, STOP_AFTER, away, log, refusal, share_away
from spinenet.readers.sources.presence import Look

LOOK_S = 60.0
"""How long a worker may take to look for a path; storage that hangs is away."""

NO_ANSWER = Look(there=False, missing=None, seen=0)
"""The result of a look that took longer, or whose worker died."""

TRIED_AGAIN = SURROUNDINGS - ONCE | {"no_files"}
"""Reasons that get another try in the same start; an empty folder may be a share that is not mounted."""

TRIES_ALONE = 3
"""How often a scan whose worker died is tried with no suspect beside it; others may have ended the worker."""

PATIENCE = 0.5
"""Seconds between two looks at whether the run is to stop, or storage is back."""

Avoided = tuple[str, str]
"""(kind of step, worker) that another worker is to be preferred to; empty texts where none is."""

Verdict = Literal["there", "own", "lost"]
"""What a path that failed twice is: there by now, absent by itself, or absent with its storage."""


class Crew(Protocol):
    """Whoever does scans: the workers of a Dask cluster, or processes of this machine."""

    def outcomes(
        self,
        entries: Sequence[Entry],
        detections: Mapping[str, Detections],
        avoided: Mapping[str, Avoided],
    ) -> Iterator[tuple[Entry, Outcome | None]]:
        """Each scan with its outcome, as they come; None for one whose worker died with it.

        Parameters
        ----------
        detections
            Of an earlier start, by scan_id.
        avoided
            By scan_id.
        """

    def once_alone(self, entry: Entry, detections: Mapping[str, Detections]) -> Outcome | None:
        """A scan's outcome, done with no other suspect beside it; None if its worker died with it."""

    def look(self, path: str, others: Sequence[str]) -> Look:
        """What a worker that decodes sees of a path and of others; :data:`NO_ANSWER` after a while."""

    def retire(self, worker: str, reason: str) -> None:
        """Let a worker go, by its name and resources, where scans fail that others read."""

    def wait(self, seconds: float) -> None:
        """Let time pass, or less where the run is to end."""

    def refuse_if_over(self) -> None:
        """Raise :class:`spinenet.errors.RunError` where the run is to end, or nobody is left to do it."""


def settled_outcomes(
    job: Job, crew: Crew, entries: Sequence[Entry], detections: Mapping[str, Detections]
) -> Iterator[Outcome]:
    """Outcomes as they come; of those that failed by their surroundings, after all has been tried.

    Raises
    ------
    RunError
        Storage is away, or so many scans failed by their surroundings that these are at fault.
    """
    yield from _Attempts(job, crew, detections).all_of(entries)


class _Attempts:
    def __init__(self, job: Job, crew: Crew, detections: Mapping[str, Detections]) -> None:
        self._job, self._crew, self._detections = job, crew, detections

    def all_of(self, entries: Sequence[Entry]) -> Iterator[Outcome]:
        suspects: list[Entry] = []
        again: list[tuple[Entry, Outcome]] = []
        for entry, outcome in self._crew.outcomes(entries, self._detections, {}):
            if outcome is None:
                suspects.append(entry)
            elif _reason(outcome) in TRIED_AGAIN:
                again.append((entry, outcome))
            else:
                yield self._settled(entry, outcome)
        if again:
            yield from self._again(again)
        for entry in suspects:
            yield self._settled(entry, self._alone(entry))

    def _again(self, failures: Sequence[tuple[Entry, Outcome]]) -> Iterator[Outcome]:
        """Second tries on other workers, and third ones once storage that was away is there."""
        still: list[tuple[Entry, Outcome]] = []
        first = {entry.scan_id: outcome for entry, outcome in failures}
        for entry, outcome in self._second_tries(failures):
            if _reason(outcome) in TRIED_AGAIN:
                still.append((entry, outcome))
            else:
                self._blame(first[entry.scan_id], outcome)
                yield self._settled(entry, outcome)
        verdicts = [(entry, outcome, self._verdict(entry, outcome)) for entry, outcome in still]
        there = [(entry, outcome) for entry, outcome, verdict in verdicts if verdict == "there"]
        for entry, outcome, verdict in verdicts:
            if verdict != "there":
                yield self._settled(entry, self._stated(entry, outcome, verdict), own=verdict == "own")
        for entry, outcome in self._second_tries(there) if there else ():
            yield self._settled(entry, outcome)

    def _second_tries(self, failures: Sequence[tuple[Entry, Outcome]]) -> Iterator[tuple[Entry, Outcome]]:
        """Each once more, on another worker than the one it failed on where there is one."""
        avoided = {entry.scan_id: _failed_on(outcome) for entry, outcome in failures}
        for entry, outcome in self._crew.outcomes([e for e, _ in failures], self._detections, avoided):
            yield entry, outcome or self._alone(entry)

    def _alone(self, entry: Entry) -> Outcome:
        """A scan's outcome, tried with no other suspect beside it."""
        began, seconds = time.monotonic(), self._job.orders.seconds
        for _ in range(TRIES_ALONE):
            outcome = self._crew.once_alone(entry, self._detections)
            if outcome is not None:
                return outcome
        if time.monotonic() - began > TRIES_ALONE * seconds:
            failure = Failure("time_limit", f"did not stop after {seconds:g} seconds and was ended")
        else:
            failure = Failure(
                "worker_lost", f"the worker died each time it had the scan, {TRIES_ALONE} times alone"
            )
        return failed(entry, failure, self._job.orders)

    def _stated(self, entry: Entry, outcome: Outcome, verdict: Verdict) -> Outcome:
        """The outcome; a folder that is empty as all others are is no fault of the scan's."""
        if verdict == "lost" and _reason(outcome) == "no_files":
            detail = "the path holds no files, and no other path could be read"
            return failed(entry, Failure("storage_failed", detail), self._job.orders, outcome.trace)
        return outcome

    def _settled(self, entry: Entry, outcome: Outcome, own: bool = False) -> Outcome:
        """The outcome, noted; an error where too many are the surroundings'."""
        reason, trouble = _reason(outcome), self._job.trouble
        if reason not in SURROUNDINGS:
            if outcome.rows.scan["status"] == "done":
                trouble.went_well(entry.path, dict(outcome.trace))
            return outcome
        count = trouble.failed(str(reason), own)
        if count >= STOP_AFTER and not own and not self._job.keep_going:
            raise refusal(str(reason), count)
        return outcome

    def _blame(self, first: Outcome, second: Outcome) -> None:
        """Retire a worker on which scans fail that others read."""
        kind, worker = _failed_on(first)
        elsewhere = dict(second.trace).get(kind, worker)
        if self._job.trouble.healed_elsewhere(worker, elsewhere):
            self._crew.retire(worker, str(_reason(first)))

    def _verdict(self, entry: Entry, outcome: Outcome) -> Verdict:
        """What a look at the path and at others shows, after a wait where storage is away.

        Raises
        ------
        RunError
            Storage stays away, with so much of the manifest that rows are better not marked as failed.
        """
        reason = str(_reason(outcome))
        if reason not in OF_PATHS:
            return "lost"
        with self._job.trouble.waiting:
            return self._after_a_wait(entry, reason)

    def _after_a_wait(self, entry: Entry, reason: str) -> Verdict:
        paths, trouble = self._job.ledger.plan.table.column("path"), self._job.trouble
        read = len(trouble.read)
        others = trouble.others(paths, entry.path)
        waited, pause = 0.0, PATIENCE
        while True:
            self._crew.refuse_if_over()
            seen = self._crew.look(entry.path, others)
            lost = len(paths) if seen is NO_ANSWER else away(seen, reason, entry.path, paths)
            if seen.there:
                trouble.vain_s -= waited
                return "there"
            if not lost or self._job.keep_going:
                return "lost" if lost else "own"
            if trouble.vain_s + pause > AWAY_S:
                break
            if not waited:
                left = AWAY_S - trouble.vain_s
                log.warning("storage seems to be away; waiting for it, up to %.0f s", left)
            began = time.monotonic()
            self._crew.wait(pause)
            waited += time.monotonic() - began
            trouble.vain_s += time.monotonic() - began
            pause = min(2 * pause, 8.0)
        if lost >= STOP_AFTER or (read and not seen.seen):
            raise share_away(seen, lost)
        return "lost"


def _reason(outcome: Outcome) -> str | None:
    reason: str | None = outcome.rows.scan.get("reason")
    return reason


def _failed_on(outcome: Outcome) -> Avoided:
    """(kind of step, worker) of a scan's last step."""
    steps = [step for step in outcome.trace if step[0] in ("decode", "inference")]
    return steps[-1] if steps else ("", "")
