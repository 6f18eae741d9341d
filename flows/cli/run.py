"""The command ``spinenet run``: the main job."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.printing import say
from flows.cli.terminal import DONE, SOME_FAILED, Cluster, Manifest, Out, Prefect, Types, Weights
from flows.timelimit import SECONDS_PER_SCAN
from spinenet.settings import SHARD_SIZE
from spinenet.weights.names import PUBLISHED


def run(
    manifest: Manifest,
    out: Out,
    weights: Weights = PUBLISHED,
    cluster: Cluster = "local",
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda or cuda:N, on the GPU-class workers.")
    ] = "auto",
    shard_size: Annotated[int, typer.Option(min=1, help="Scans that are committed together.")] = SHARD_SIZE,
    seconds_per_scan: Annotated[
        float, typer.Option(min=1, help="Time limit of each scan, in reading and in inference.")
    ] = SECONDS_PER_SCAN,
    skip_penalty: Annotated[bool, typer.Option(help="Make leaving out a level costly.")] = True,
    types: Types = None,
    append: Annotated[
        bool, typer.Option("--append", help="Take rows added at the manifest's end into the run in OUT.")
    ] = False,
    regrade: Annotated[
        bool,
        typer.Option(
            "--regrade",
            help="Do the run in OUT anew with other weights, settings or manifest; detections that still "
            "hold are kept.",
        ),
    ] = False,
    prefect: Prefect = True,
    retry: Annotated[
        str | None,
        typer.Option(
            metavar="REASON[,REASON]",
            help="Read scans again that failed for these reasons. Without it, those whose storage, machine "
            "or network may have failed and not the scan, three starts at the most.",
        ),
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Read all scans again that failed, for whatever reason.")
    ] = False,
    keep_going: Annotated[
        bool,
        typer.Option(
            "--keep-going",
            help="Where storage is away or many scans in a row fail by their surroundings, mark them as "
            "failed instead of stopping.",
        ),
    ] = False,
) -> None:
    """Read every scan of a manifest and write the tables; started again, it goes on."""
    from flows.progress import reporter_here

    if append and regrade:
        raise typer.BadParameter("use --append or --regrade, not both")
    if retry is not None and retry_failed:
        raise typer.BadParameter("use --retry or --retry-failed, not both")
    reporter = reporter_here()
    # the next line takes seconds, in which somebody may wonder
    reporter.waiting("loading Dask")
    try:
        from flows.cohort import run_cohort
        from spinenet.cohort.manifests.column_types import parse_types
        from spinenet.cohort.retry import Retry
        from spinenet.settings import Settings

        asked = Retry.of_all() if retry_failed else Retry() if retry is None else Retry.of(_listed(retry))
        summary = run_cohort(
            manifest,
            out,
            weights,
            cluster=cluster,
            device=device,
            shard_size=shard_size,
            seconds_per_scan=seconds_per_scan,
            settings=Settings(skip_penalty=skip_penalty),
            reporter=reporter,
            types=parse_types(types) if types else None,
            change="append" if append else "regrade" if regrade else "refuse",
            prefect=prefect,
            retry=asked,
            keep_going=keep_going,
        )
    finally:
        reporter.finished()
    told = ", ".join(f"{count} {state}" for state, count in summary.states.items() if count)
    say(f"{summary.n_rows} scans: {told}. Tables in {summary.out}")
    raise typer.Exit(SOME_FAILED if summary.n_failed else DONE)


def _listed(text: str) -> list[str]:
    return [reason.strip() for reason in text.split(",") if reason.strip()]
