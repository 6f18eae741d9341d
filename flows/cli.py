"""The command ``spinenet``: arguments in, exit status out; the work is done elsewhere."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from flows.cli_check import check
from flows.cli_index import index
from flows.cli_weights import weights_app
from flows.terminal import (
    DONE,
    SOME_FAILED,
    UNFINISHED,
    USAGE,
    Cluster,
    Manifest,
    Weights,
    duration,
    table_console,
)
from spinenet import weights as store_of_weights
from spinenet.cohort.status import RunStatus, read_status
from spinenet.errors import ManifestError, OtherRun, RootError, SpinenetError, WeightsError
from spinenet.index.rules import RulesError
from spinenet.pipeline import Settings
from spinenet.storage import Store

app = typer.Typer(
    help="Finds, names and grades vertebrae and discs in sagittal spinal MRI. Research only.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(weights_app, name="weights")
app.command()(index)
app.command()(check)

_SHOWN = 5
_INTERRUPTED = 130
"""What typer makes of Ctrl-C."""

Out = Annotated[str, typer.Argument(help="Folder or URL of the run's results.")]


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and every log line.")] = False,
) -> None:
    level = logging.DEBUG if debug else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    # These write every path at this level, which can name a patient, or the headers that sign a request.
    for name in ("fsspec", "s3fs", "botocore", "aiobotocore", "azure", "adlfs", "gcsfs", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("distributed").setLevel(logging.DEBUG if debug else logging.CRITICAL)
    logging.getLogger("spinenet").setLevel(logging.DEBUG if debug else logging.INFO)


@app.command()
def run(
    manifest: Manifest,
    out: Out,
    weights: Weights = store_of_weights.PUBLISHED,
    cluster: Cluster = "local",
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda or cuda:N, on the GPU-class workers.")
    ] = "auto",
    shard_size: Annotated[int, typer.Option(min=1, help="Scans that are committed together.")] = 64,
    seconds_per_scan: Annotated[float, typer.Option(min=1, help="Time limit of each scan.")] = 3600.0,
    skip_penalty: Annotated[bool, typer.Option(help="Make leaving out a level costly.")] = True,
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
) -> None:
    """Read every scan of a manifest and write the tables; started again, it goes on."""
    from flows.cohort import run_cohort
    from flows.progress import BarReporter, LogReporter

    if append and regrade:
        raise typer.BadParameter("use --append or --regrade, not both")
    terminal = Console(stderr=True)
    summary = run_cohort(
        manifest,
        out,
        weights,
        cluster=cluster,
        device=device,
        shard_size=shard_size,
        seconds_per_scan=seconds_per_scan,
        settings=Settings(skip_penalty=skip_penalty),
        reporter=BarReporter(terminal) if terminal.is_terminal else LogReporter(),
        change="append" if append else "regrade" if regrade else "refuse",
    )
    told = ", ".join(f"{count} {state}" for state, count in summary.states.items() if count)
    typer.echo(f"{summary.n_rows} scans: {told}. Tables in {summary.out}")
    raise typer.Exit(SOME_FAILED if summary.n_failed else DONE)


@app.command()
def status(
    out: Out,
    as_json: Annotated[bool, typer.Option("--json", help="For machines: every row.")] = False,
    counts: Annotated[bool, typer.Option("--counts", help="No rows: quick however long the run.")] = False,
) -> None:
    """Every manifest row's state, failures grouped by reason, pace and time left."""
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
        "rows_per_second": account.rows_per_second,
        "seconds_left": account.seconds_left,
        "last_commit": account.last_commit,
    }
    return told | {"scans": [vars(row) for row in account.rows]} if rows else told


@app.command()
def demo(
    subjects: Annotated[int, typer.Option(min=1, help="Synthetic subjects to make.")] = 8,
    out: Annotated[Path, typer.Option(help="Folder for the cohort and the results.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Of the first subject.")] = 0,
) -> None:
    """Make a synthetic cohort, run the whole pipeline on it, score it against its truth."""
    from flows.demo import run_demo

    raise typer.Exit(SOME_FAILED if run_demo(subjects, out, seed, table_console()) else DONE)


def main() -> None:
    """Run the command and turn its errors into one sentence and an exit status."""
    debug = "--debug" in sys.argv
    try:
        status = app(standalone_mode=False)
    except SpinenetError as error:
        if debug:
            raise
        typer.echo(f"spinenet: {error}", err=True)
        usage = isinstance(error, ManifestError | RulesError | RootError | OtherRun | WeightsError)
        sys.exit(USAGE if usage else UNFINISHED)
    except typer.Abort:
        sys.exit(UNFINISHED)
    except KeyboardInterrupt:
        typer.echo("spinenet: stopped", err=True)
        sys.exit(UNFINISHED)
    except Exception as error:
        show = getattr(error, "show", None)
        if callable(show):
            show()
            sys.exit(USAGE)
        if debug:
            raise
        typer.echo(f"spinenet: {type(error).__name__}: {error} (--debug shows where)", err=True)
        sys.exit(UNFINISHED)
    if status == _INTERRUPTED:
        typer.echo("spinenet: stopped", err=True)
        sys.exit(UNFINISHED)
    sys.exit(status if isinstance(status, int) else DONE)


if __name__ == "__main__":
    main()
