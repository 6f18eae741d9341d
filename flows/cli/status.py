"""The command ``spinenet status``: what has become of each row of a manifest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from flows.terminal import Out, duration, table_console

if TYPE_CHECKING:
    from spinenet.cohort.status import RunStatus

_SHOWN = 5


def status(
    out: Out,
    as_json: Annotated[bool, typer.Option("--json", help="For machines: every row.")] = False,
    counts: Annotated[bool, typer.Option("--counts", help="No rows: quick however long the run.")] = False,
) -> None:
    """Every manifest row's state, failures grouped by reason, pace and time left."""
    from spinenet.cohort.status import read_status
    from spinenet.storage import Store

    store = Store.at(out)
    if as_json:
        account = read_status(store, every_row=not counts)
        typer.echo(json.dumps(_account(account, rows=not counts), indent=2))
        return
    account = read_status(store, examples=0 if counts else _SHOWN)
    table = Table(title=f"{account.n_rows} scans in {account.out}")
    for column in ("state", "scans", "which"):
        table.add_column(column, justify="right" if column == "scans" else "left")
    for state in ("done", "excluded", "pending"):
        table.add_row(state, str(account.states[state]), "")
        if state == "done" and (doubtful := account.flags.get("levels_uncertain")):
            table.add_row("  levels uncertain", str(doubtful), "done, flag levels_uncertain in scans")
    for reason, rows in account.reasons.items():
        count = account.states[reason]
        shown = ", ".join(row.scan_id for row in rows) + (", ..." if count > len(rows) > 0 else "")
        table.add_row(f"failed: {reason}", str(count), shown)
    table_console().print(table)
    typer.echo(_pace(account))
    typer.echo(
        "The tables are written."
        if account.finished
        else "The run is not finished; if it is not running, start it again."
    )


def _pace(account: RunStatus) -> str:
    rate, left = account.rows_per_second, account.seconds_left
    told = f"{account.n_committed} of {account.n_shards} shards are committed"
    if rate is not None:
        told += f", the last at {account.last_commit}; {rate:.2g} scans a second"
    if rate is not None and left:
        told += f", about {duration(left)} left at that pace"
    return f"{told}."


def _account(account: RunStatus, rows: bool) -> dict[str, object]:
    told: dict[str, object] = {
        "out": account.out,
        "finished": account.finished,
        "rows": account.n_rows,
        "shards": account.n_shards,
        "committed": account.n_committed,
        "states": dict(account.states),
        "flags": dict(account.flags),
        "rows_per_second": account.rows_per_second,
        "seconds_left": account.seconds_left,
        "last_commit": account.last_commit,
    }
    return told | {"scans": [vars(row) for row in account.rows]} if rows else told
