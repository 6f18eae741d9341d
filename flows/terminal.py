"""What the commands share: exit statuses, arguments, and a console for tables."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console

DONE, UNFINISHED, USAGE, SOME_FAILED = 0, 1, 2, 3
"""Exit statuses: every row done, the run did not finish, bad usage or manifest, some rows failed."""

Manifest = Annotated[str, typer.Argument(help="CSV, TSV, JSON lines or Parquet with scan_id and path.")]
Weights = Annotated[str, typer.Option(help="A name, a folder or a URL of weights.")]
Cluster = Annotated[str, typer.Option(help="local, or a Dask scheduler's tcp://HOST:PORT.")]


def table_console(width: int = 160) -> Console:
    """A console as wide as the terminal; without one ``width``, for broken lines cannot be searched."""
    return Console(width=None if sys.stdout.isatty() else width)
