"""Exit statuses and arguments that the commands share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from spinenet.cohort.request import RunRequest

DONE, UNFINISHED, USAGE, SOME_FAILED = 0, 1, 2, 3
"""Exit statuses: every row done, the run did not finish, bad usage or manifest, some rows failed."""

Out = Annotated[str, typer.Argument(help="Folder or URL of the run's results.")]
Manifest = Annotated[str, typer.Argument(help="CSV, TSV, JSON lines or Parquet with scan_id and path.")]
Weights = Annotated[str, typer.Option(help="A name, a folder or a URL of weights.")]
Types = Annotated[
    str | None,
    typer.Option(
        help="Types of columns that the manifest carries, as COLUMN=TYPE,... or a TOML file of them: text, "
        "integer, number, boolean or date."
    ),
]
Cluster = Annotated[
    str, typer.Option(help="local, or a Dask scheduler's tls://HOST:PORT or tcp://HOST:PORT.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N, where scans are inferred.")]
ShardSize = Annotated[int, typer.Option(min=1, help="Scans that are committed together.")]
SecondsPerScan = Annotated[
    float, typer.Option(min=1, help="Time limit of each scan, in reading and in inference.")
]
SkipPenalty = Annotated[bool, typer.Option(help="Make leaving out a level costly.")]
Append = Annotated[
    bool, typer.Option("--append", help="Take rows added at the manifest's end into the run in OUT.")
]
Regrade = Annotated[
    bool,
    typer.Option(
        "--regrade",
        help="Do the run in OUT anew with other weights, settings or manifest; detections that still "
        "hold are kept.",
    ),
]
RetryReasons = Annotated[
    str | None,
    typer.Option(
        "--retry",
        metavar="REASON[,REASON]",
        help="Read scans again that failed for these reasons. Without it, those whose storage, machine "
        "or network may have failed and not the scan, three starts at the most.",
    ),
]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="Read all scans again that failed, for whatever reason.")
]
KeepGoing = Annotated[
    bool,
    typer.Option(
        "--keep-going",
        help="Where storage is away or many scans in a row fail by their surroundings, mark them as "
        "failed instead of stopping.",
    ),
]
Prefect = Annotated[
    bool, typer.Option("--prefect/--no-prefect", help="Show the run to Prefect; it is the same without.")
]


def request_of(
    *,
    types: str | None,
    append: bool,
    regrade: bool,
    retry: str | None,
    retry_failed: bool,
    **fields: Any,
) -> RunRequest:
    """The request that a command's options make; raises typer.BadParameter where they contradict."""
    from spinenet.cohort.manifests.column_types import parse_types
    from spinenet.cohort.request import RunRequest

    if append and regrade:
        raise typer.BadParameter("use --append or --regrade, not both")
    fields["types"] = parse_types(types) if types else {}
    return RunRequest(
        **fields,
        change="append" if append else "regrade" if regrade else "refuse",
        retry=listed_reasons(retry, retry_failed),
        retry_failed=retry_failed,
    )


def listed_reasons(retry: str | None, retry_failed: bool) -> tuple[str, ...] | None:
    """Reasons that ``--retry`` lists; raises typer.BadParameter beside ``--retry-failed``."""
    if retry is not None and retry_failed:
        raise typer.BadParameter("use --retry or --retry-failed, not both")
    return None if retry is None else tuple(part.strip() for part in retry.split(",") if part.strip())


def duration(seconds: float) -> str:
    """A time span in the largest unit of which it has at least two."""
    units: Mapping[str, float] = {"days": 86400.0, "hours": 3600.0, "minutes": 60.0}
    for unit, length in units.items():
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(1.0, seconds):.0f} seconds"
