"""The command ``spinenet status``: reports the state of each row of a manifest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.printing import SHOWN, Group, say_groups, wrapped
from flows.cli.terminal import Out, duration
from spinenet.anatomy import REASONS
from spinenet.printable import counted

if TYPE_CHECKING:
    from spinenet.cohort.status import RunStatus

DOUBTFUL: Mapping[str, str] = MappingProxyType(
    {
        "levels_uncertain": "levels uncertain",
        "not_a_spine": "not a spine",
        "outside_domain": "outside the weights' domain",
    }
)
"""Flags of done scans that are counted beside the states, and their words."""


def status(
    out: Out,
    as_json: Annotated[bool, typer.Option("--json", help="For machines: every row.")] = False,
    counts: Annotated[bool, typer.Option("--counts", help="No rows: quick however long the run.")] = False,
) -> None:
    """Every manifest row's state, failures grouped by reason, pace and time left."""
    from spinenet.cohort.status import read_status
    from spinenet.storage import Store
    from spinenet.weights.domain import validation_sentence

    store = Store.at(out)
    if as_json:
        account = read_status(store, every_row=not counts)
        typer.echo(json.dumps(_account(account, rows=not counts), indent=2))
        return
    account = read_status(store, examples=0 if counts else SHOWN)
    say_groups(f"{account.n_rows} scans in", account.out, _groups(account))
    typer.echo(wrapped(_pace(account)))
    if account.due:
        due = counted(account.due)
        typer.echo(wrapped(f"The next start reads again what may have failed by its surroundings: {due}."))
    if sentence := validation_sentence(account.not_validated):
        typer.echo(wrapped(sentence))
    typer.echo(
        "The tables are written."
        if account.finished
        else wrapped("The run is not finished; if it is not running, start it again.")
    )


def _groups(account: RunStatus) -> Iterator[Group]:
    for state in ("done", "excluded", "pending"):
        yield Group(account.states[state], state)
        for flag, words in DOUBTFUL.items():
            if state == "done" and (doubtful := account.flags.get(flag)):
                yield Group(doubtful, words, f"done, with the flag {flag} in scans")
    for reason, rows in account.reasons.items():
        count, names = account.states[reason], [row.scan_id for row in rows]
        yield Group(count, f"failed: {reason}", REASONS.get(reason, ""), names, count > len(rows))


def _pace(account: RunStatus) -> str:
    rate, left = account.rows_per_second, account.seconds_left
    sentence = f"{account.n_committed} of {account.n_shards} shards are committed"
    if rate is not None:
        sentence += f", the last at {account.last_commit}; {rate:.2g} scans a second"
    if rate is not None and left:
        sentence += f", about {duration(left)} left at that pace"
    return f"{sentence}."


def _account(account: RunStatus, rows: bool) -> dict[str, object]:
    values: dict[str, object] = {
        "out": account.out,
        "finished": account.finished,
        "rows": account.n_rows,
        "shards": account.n_shards,
        "committed": account.n_committed,
        "states": dict(account.states),
        "flags": dict(account.flags),
        "not_validated": account.not_validated,
        "due": dict(account.due),
        "rows_per_second": account.rows_per_second,
        "seconds_left": account.seconds_left,
        "last_commit": account.last_commit,
    }
    return values | {"scans": [vars(row) for row in account.rows]} if rows else values
