"""What the commands share: exit statuses and arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

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
Prefect = Annotated[
    bool, typer.Option("--prefect/--no-prefect", help="Show the run to Prefect; it is the same without.")
]


def duration(seconds: float) -> str:
    """A length of time in the largest unit that it holds twice."""
    units: Mapping[str, float] = {"days": 86400.0, "hours": 3600.0, "minutes": 60.0}
    for unit, length in units.items():
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(1.0, seconds):.0f} seconds"
