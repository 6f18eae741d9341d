"""A run in pieces, for arrays of jobs: planned once, its shards done by any processes, then finalised.

Nothing but files connects the pieces: no server, no scheduler.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from spinenet.cohort.begin import begin
from spinenet.cohort.finalise import DamagedParts, final_states, finalise
from spinenet.cohort.job import Job
from spinenet.cohort.layout import FOLDERS
from spinenet.cohort.ledger import Ledger
from spinenet.cohort.part import Part, array_of, parts_with
from spinenet.cohort.plan import Plan, planned
from spinenet.cohort.process_steps import Steps
from spinenet.cohort.processes import STEPS, process_crew
from spinenet.cohort.request import RunRequest
from spinenet.cohort.retry import parts_that_stay
from spinenet.cohort.shard import do_shard
from spinenet.cohort.todo import Todo
from spinenet.errors import Holes, RunError
from spinenet.storage import open_output

ShardReport = Callable[[int, Mapping[str, int], float], None]
"""Called with each shard's number, its rows by state and its seconds, once it is committed."""


def _no_report(index: int, states: Mapping[str, int], seconds: float) -> None:
    """Report to nobody."""


@dataclass(frozen=True)
class PartSummary:
    """What a process did of a run.

    Attributes
    ----------
    n_shards
        Of the part.
    n_before
        Those of them that were done before.
    states
        Rows that were done now, by "done", "excluded" or reason.
    """

    n_shards: int
    n_before: int
    states: Mapping[str, int]


def plan_run(request: RunRequest, about: Mapping[str, Any] | None = None) -> Plan:
    """Freeze the plan of a run, or find the one that is there.

    Parameters
    ----------
    about
        Versions, machine and the like, kept in ``run.json`` for the reader.

    Raises
    ------
    ManifestError, WeightsError, OtherRun, OutputError
        The manifest, the weights or the output cannot be used; nothing is written then.

    Examples
    --------
    >>> from spinenet.cohort.pieces import plan_run
    >>> from spinenet.cohort.request import RunRequest
    >>> request = RunRequest(manifest="manifest.csv", out="PIECES", weights="synthetic")
    >>> plan_run(request).n_shards
    1
    """
    return begin(request, about or {}).ledger.plan


def do_part(
    job: Job,
    part: Part,
    *,
    processes: int,
    stop: threading.Event | None = None,
    report: ShardReport = _no_report,
    steps: Steps = STEPS,
) -> PartSummary:
    """Do the shards of a part that are not done yet, each with its commit.

    Any number of processes may do parts of a run at once, and the same part twice: the first commit of a
    shard counts.

    Parameters
    ----------
    job
        From :func:`spinenet.cohort.begin.take_up`.
    processes
        Such as the cores that this process may use; see :func:`spinenet.cohort.processes.process_crew`.
    stop
        Set to end in order; the shard that is being done is not committed.

    Raises
    ------
    PartError
        There is no such part.
    RunError
        The weights or the surroundings failed, not a scan, or the run was stopped.

    Examples
    --------
    >>> from spinenet.cohort.begin import take_up
    >>> from spinenet.cohort.part import Part
    >>> from spinenet.cohort.pieces import do_part
    >>> do_part(take_up("PIECES"), Part(0, of=1), processes=1).states
    {'done': 1}
    """
    mine = part.shards(job.ledger.plan.n_shards)
    todo = _with_damaged(job, mine)
    job, total = replace(job, todo=todo), dict[str, int]()
    with process_crew(job.orders, processes, stop, steps) as crew:
        for index in todo.shards:
            crew.refuse_if_over()
            began = time.monotonic()
            states = do_shard(job, crew, index)
            report(index, states, time.monotonic() - began)
            for state, count in states.items():
                total[state] = total.get(state, 0) + count
    return PartSummary(len(mine), len(mine) - len(todo.shards), total)


def finalise_run(out: str, *, of: int | None = None) -> Mapping[str, int]:
    """Write the tables of a run whose shards are all done.

    Parameters
    ----------
    of
        Jobs of the array that did the shards, where it was not one for each shard.

    Returns
    -------
    Mapping
        Rows by "done", "excluded" or reason.

    Raises
    ------
    RunError
        There is no run, or shards are not done or damaged: then with the jobs that are to be repeated, as
        ``sbatch --array`` takes them.

    Examples
    --------
    >>> from spinenet.cohort.pieces import finalise_run
    >>> finalise_run("OUT")
    {'done': 2, 'excluded': 0}
    """
    store = open_output(out, FOLDERS)
    plan = planned(store)
    final = final_states(store, plan)
    if final is not None:
        return final
    try:
        return finalise(Ledger(store, plan))
    except Holes as holes:
        shards, what = holes.shards, "not done"
    except DamagedParts as damaged:
        shards, what = damaged.shards, "damaged"
    array = array_of(parts_with(shards, of))
    auto = "auto" if of is None else f"auto --of {of}"
    raise RunError(
        f"{len(shards)} of {plan.n_shards} shards are {what}; do them again with "
        f"`spinenet shard {out} {auto}` in: sbatch --array={array}"
    ) from None


def _with_damaged(job: Job, mine: range) -> Todo:
    """What is left of some shards, those among it whose parts fail their digest."""
    todo = job.todo.limited_to(mine)
    if job.todo.final is not None:
        return todo
    commits = job.ledger.commits()
    damaged = [
        shard
        for shard in mine
        if shard in commits
        and shard not in todo.shards
        and parts_that_stay(job.ledger, commits[shard]) is None
    ]
    generations = {shard: commits[shard].generation + 1 for shard in damaged}
    shards = sorted([*todo.shards, *damaged])
    return replace(todo, shards=shards, generations={**todo.generations, **generations})
