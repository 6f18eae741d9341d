"""The command ``spinenet index``: arguments in, a table of what was found out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from flows.cli.printing import say, table_console
from flows.cli.terminal import Cluster, Prefect
from spinenet.errors import ManifestError
from spinenet.printable import printable

_KEY_BYTES = 16


def index(
    root: Annotated[str, typer.Argument(help="A folder, archive or file, at any fsspec URL.")],
    out: Annotated[
        str, typer.Option("--out", "-o", help="The manifest to write: .parquet, .csv, .tsv or .jsonl.")
    ],
    rules: Annotated[Path | None, typer.Option(help="TOML file of rules for the choice of series.")] = None,
    subject_key_file: Annotated[
        Path | None,
        typer.Option(help="A secret, 16 bytes or more: subjects are named by a hash of PatientID."),
    ] = None,
    subjects: Annotated[
        Path | None, typer.Option(help="CSV of path and subject_id: subjects are named by it.")
    ] = None,
    cluster: Cluster = "local",
    prefect: Prefect = True,
) -> None:
    """Find every series below ROOT by headers alone, and write a manifest of them."""
    from flows.progress import LogIndexing

    console = Console(stderr=True)
    with console.status("looking for series") as status:
        from flows.index import Subjects, index_root

        summary = index_root(
            root,
            out,
            rules_text=_text(rules) if rules else None,
            subjects=Subjects(_key(subject_key_file), _listed(subjects)),
            cluster=cluster,
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


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"cannot read {file}: {type(error).__name__}") from None


def _key(file: Path | None) -> bytes:
    if file is None:
        return b""
    try:
        key = file.read_bytes().strip()
    except OSError as error:
        raise ManifestError(f"cannot read {file}: {type(error).__name__}") from None
    if len(key) < _KEY_BYTES:
        raise ManifestError(f"the key in {file} has {len(key)} bytes; use {_KEY_BYTES} or more, kept secret")
    return key


def _listed(file: Path | None) -> dict[str, str] | None:
    if file is None:
        return None
    import pandas as pd

    try:
        # an id may well be NA
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise ManifestError(f"cannot read {file}: {type(error).__name__}") from None
    if not {"path", "subject_id"} <= set(table.columns):
        raise ManifestError(f"{file} needs the columns path and subject_id")
    table = table[["path", "subject_id"]].apply(lambda column: column.str.strip())
    if (table == "").any(axis=None):
        raise ManifestError(f"{file} has a row without a path or a subject_id")
    return dict(zip(table["path"], table["subject_id"], strict=True))
