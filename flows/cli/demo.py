"""The command ``spinenet demo``: runs the whole pipeline on a synthetic cohort."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.printing import table_console
from flows.cli.terminal import DONE, SOME_FAILED, Prefect


def demo(
    subjects: Annotated[int, typer.Option(min=1, help="Synthetic subjects to make.")] = 8,
    out: Annotated[Path, typer.Option(help="Folder for the cohort and the results.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Of the first subject.")] = 0,
    prefect: Prefect = True,
) -> None:
    """Make a synthetic cohort, run the whole pipeline on it, score it against its truth."""
    from spinenet.storage import open_output

    open_output(str(out))
    from flows.demo import run_demo

    raise typer.Exit(SOME_FAILED if run_demo(subjects, out, seed, table_console(), prefect=prefect) else DONE)
