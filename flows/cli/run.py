"""The command ``spinenet run``: reads and grades a cohort."""

from __future__ import annotations

import typer

from flows.cli.printing import say
from flows.cli.terminal import (
    DONE,
    SOME_FAILED,
    Append,
    Cluster,
    Device,
    KeepGoing,
    Manifest,
    Out,
    Prefect,
    Regrade,
    RetryFailed,
    RetryReasons,
    SecondsPerScan,
    ShardSize,
    SkipPenalty,
    Types,
    Weights,
    request_of,
)
from spinenet.printable import counted
from spinenet.settings import SHARD_SIZE
from spinenet.timelimit import SECONDS_PER_SCAN
from spinenet.weights.names import PUBLISHED


def run(
    manifest: Manifest,
    out: Out,
    weights: Weights = PUBLISHED,
    cluster: Cluster = "local",
    device: Device = "auto",
    shard_size: ShardSize = SHARD_SIZE,
    seconds_per_scan: SecondsPerScan = SECONDS_PER_SCAN,
    skip_penalty: SkipPenalty = True,
    types: Types = None,
    append: Append = False,
    regrade: Regrade = False,
    prefect: Prefect = True,
    retry: RetryReasons = None,
    retry_failed: RetryFailed = False,
    keep_going: KeepGoing = False,
) -> None:
    """Read every scan of a manifest and write the tables; started again, it goes on."""
    from flows.progress import reporter_here
    from spinenet.weights.domain import validation_sentence

    request = request_of(
        manifest=manifest,
        out=out,
        weights=weights,
        device=device,
        shard_size=shard_size,
        seconds_per_scan=seconds_per_scan,
        skip_penalty=skip_penalty,
        types=types,
        append=append,
        regrade=regrade,
        retry=retry,
        retry_failed=retry_failed,
        keep_going=keep_going,
    )
    reporter = reporter_here()
    # the import below takes seconds, during which the user should see why
    reporter.waiting("loading Dask")
    try:
        from flows.cohort_run import Way, run_cohort

        summary = run_cohort(request, Way(cluster, prefect), reporter)
    finally:
        reporter.finished()
    if sentence := validation_sentence(summary.not_validated):
        say(sentence)
    say(f"{summary.n_rows} scans: {counted(summary.states)}. Tables in {summary.out}")
    raise typer.Exit(SOME_FAILED if summary.n_failed else DONE)
