"""The command ``spinenet finalise``: the last piece of a run that an array of jobs did."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.printing import say
from flows.cli.terminal import DONE, SOME_FAILED, Out
from spinenet.printable import counted


def finalise(
    out: Out,
    of: Annotated[
        int | None,
        typer.Option(min=1, help="Jobs of the array that did the shards, to name those to repeat."),
    ] = None,
) -> None:
    """Write the tables of a run whose shards are all done; else say which jobs are to be repeated."""
    from spinenet.cohort.pieces import finalise_run

    states = finalise_run(out, of=of)
    say(f"{sum(states.values())} scans: {counted(states)}. Tables in {out}")
    failed = any(count for state, count in states.items() if state not in ("done", "excluded"))
    raise typer.Exit(SOME_FAILED if failed else DONE)
