"""The command ``spinenet index``: writes a manifest of an archive and prints a summary table."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from flows.cli.printing import say, table_console
from flows.cli.terminal import Cluster, Prefect
from spinenet.printable import printable


def index(
    root: Annotated[str, typer.Argument(help="A folder, archive or file, at any fsspec URL.")],
    out: Annotated[
        str, typer.Option("--out", "-o", help="The manifest to write: .parquet, .csv, .tsv or .jsonl.")
    ],
    rules: Annotated[str | None, typer.Option(help="TOML file of rules for the choice of series.")] = None,
    subject_key_file: Annotated[
        str | None,
        typer.Option(help="A secret, 16 bytes or more: subjects are named by a hash of PatientID."),
    ] = None,
    subjects: Annotated[
        str | None, typer.Option(help="CSV of path and subject_id: subjects are named by it.")
    ] = None,
    cluster: Cluster = "local",
    prefect: Prefect = True,
) -> None:
    """Find every series below ROOT by headers alone, and write a manifest of them."""
    from flows.progress import LogIndexing

    console = Console(stderr=True)
    with console.status("looking for series") as status:
        from flows.index_run import run_index
        from spinenet.index.request import IndexRequest

        request = IndexRequest(
            root=root,
            out=out,
            rules=rules,
            subject_key_file=subject_key_file,
            subjects=subjects,
            cluster=cluster,
        )
        summary = run_index(
            request,
            progress=(lambda files, series: status.update(f"{files} files, {series} series"))
            if console.is_terminal
            else LogIndexing(),
            prefect=prefect,
        )
    table = Table(title=f"{summary.n_series} series of {summary.n_subjects} subjects in {printable(root)}")
    table.add_column("series")
    table.add_column("number", justify="right")
    for what, count in summary.purposes.items():
        table.add_row(
            {"grading": "to be graded", "detection": "usable, not graded"}.get(what, printable(what)),
            str(count),
        )
    table_console().print(table)
    say(
        f"{summary.n_read} of {summary.n_files} files read, {summary.bytes_read / 1e6:.1f} MB of "
        f"headers of {summary.bytes_held / 1e6:.1f} MB, in {summary.seconds_reading:.1f} s."
    )
    say(f"Next: spinenet check {out}")
