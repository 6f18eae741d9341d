"""The command ``spinenet shard``: the shards that one job of an array does."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.printing import say
from flows.cli.terminal import KeepGoing, Out, RetryFailed, RetryReasons, listed_reasons
from spinenet.printable import counted

if TYPE_CHECKING:
    from spinenet.cohort.job import Job
    from spinenet.cohort.part import Part

_MOST_PROCESSES = 8
"""Unless more are asked for: each process holds the networks and a scan."""


def shard(
    out: Out,
    part: Annotated[
        str,
        typer.Argument(
            metavar="K/N|K|auto",
            help="Part K of N, counted from 0; shard K alone; or auto: by the job's number in its array "
            "(SLURM, AWS Batch, Google Batch, Kubernetes).",
        ),
    ] = "auto",
    of: Annotated[int | None, typer.Option(min=1, help="Jobs of the array, where auto cannot tell.")] = None,
    weights: Annotated[
        str | None, typer.Option(help="The weights of the plan, where they lie elsewhere on this machine.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="In place of the plan's.")] = None,
    seconds_per_scan: Annotated[
        float | None, typer.Option(min=1, help="Time limit of each scan, in place of the plan's.")
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(min=1, help="Processes at once; by default one a core, 8 at the most."),
    ] = None,
    retry: RetryReasons = None,
    retry_failed: RetryFailed = False,
    keep_going: KeepGoing = False,
) -> None:
    """Do shards of a planned run that are not done yet; needs no server and no cluster."""
    reasons = listed_reasons(retry, retry_failed)
    from spinenet.cohort.begin import take_up
    from spinenet.cohort.part import read_part
    from spinenet.cohort.retry import Retry

    mine = read_part(part, os.environ, of)
    job = take_up(
        out,
        weights=weights,
        device=device,
        seconds_per_scan=seconds_per_scan,
        retry=Retry.of_all() if retry_failed else Retry() if reasons is None else Retry.of(reasons),
        keep_going=keep_going,
    )
    _do(job, mine, processes)


def _do(job: Job, part: Part, processes: int | None) -> None:
    """Do a part and say what came of it."""
    from flows.cores import cores
    from flows.progress import reporter_here
    from flows.stopping import stoppable
    from spinenet.cohort.pieces import do_part

    reporter = reporter_here()
    rows = [job.ledger.plan.rows_of(index) for index in part.shards(job.ledger.plan.n_shards)]
    reporter.started(sum(rows), sum(rows) - job.rows_left(part), len(rows))
    try:
        with stoppable(job.ledger.store.retries.hurry) as stop, stop.at_the_end():
            summary = do_part(
                replace(job, report=reporter.scan),
                part,
                processes=processes or min(cores(), _MOST_PROCESSES),
                stop=stop,
                report=reporter.shard,
            )
    finally:
        reporter.finished()
    before = f"{summary.n_before} of them before" if summary.n_before else "none of them before"
    say(f"{summary.n_shards} shards are done, {before}: {counted(summary.states) or 'no scan was left'}")
