"""The command ``spinenet``: gathers its commands, and turns every ending into an exit status."""

from __future__ import annotations

import logging
import os
import platform
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from flows.cli.check import check
from flows.cli.demo import demo
from flows.cli.finalise import finalise
from flows.cli.finetune import finetune
from flows.cli.index import index
from flows.cli.plan import plan
from flows.cli.printing import LineFormatter, say
from flows.cli.run import run
from flows.cli.shard import shard
from flows.cli.status import status
from flows.cli.terminal import DONE, UNFINISHED, USAGE
from flows.cli.train import train_app
from flows.cli.weights import weights_app
from flows.clusters.surroundings import lack_of_memory
from flows.stopping import Stop, leave
from spinenet import __version__
from spinenet.errors import (
    ClusterNameError,
    LabelsError,
    ManifestError,
    OtherRun,
    OutputError,
    PartError,
    ReasonError,
    RecipeError,
    RootError,
    RulesError,
    SpinenetError,
    WeightsError,
)
from spinenet.printable import printable

app = typer.Typer(
    help="Finds, names and grades vertebrae and discs in sagittal spinal MRI. Research only.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for _command in (demo, index, check, run, plan, shard, finalise, status, finetune):
    app.command()(_command)
app.add_typer(weights_app, name="weights")
app.add_typer(train_app, name="train")

_USAGE_ERRORS = (
    ClusterNameError,
    LabelsError,
    ManifestError,
    OtherRun,
    OutputError,
    PartError,
    ReasonError,
    RecipeError,
    RootError,
    RulesError,
    WeightsError,
)
"""Errors of what the user asked for, raised before any work begins."""
_DEBUG = "--debug"
_INTERRUPTED = 130
"""Exit status that typer returns for Ctrl-C."""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"spinenet {__version__} (Python {platform.python_version()})")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[
        bool, typer.Option(_DEBUG, help="Show tracebacks and every log line; anywhere on the line.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    level = logging.DEBUG if debug else logging.WARNING
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
    # at debug level these log paths, which can name a patient, and headers that sign requests
    for name in ("fsspec", "s3fs", "botocore", "aiobotocore", "azure", "adlfs", "gcsfs", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # at debug level this logs every font
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    logging.getLogger("distributed").setLevel(logging.DEBUG if debug else logging.CRITICAL)
    logging.getLogger("spinenet").setLevel(logging.DEBUG if debug else logging.INFO)


def main() -> None:
    """Run the command in a process of its own, which ends with the command's exit status."""
    # processes that are started must not import modules from the current folder
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    Stop.own_process = True
    leave(exit_status(sys.argv[1:]))


def exit_status(words: Sequence[str]) -> int:
    """Run the command and turn its errors into one sentence and an exit status."""
    arguments = debug_first(words)
    debug = arguments[:1] == [_DEBUG]
    try:
        code = app(arguments, prog_name="spinenet", standalone_mode=False)
    except SpinenetError as error:
        if debug:
            raise
        say(f"spinenet: {error}", err=True)
        return USAGE if isinstance(error, _USAGE_ERRORS) else UNFINISHED
    except typer.Abort:
        return UNFINISHED
    except KeyboardInterrupt:
        typer.echo("spinenet: stopped", err=True)
        return UNFINISHED
    except Exception as error:
        show = getattr(error, "show", None)
        if callable(show):
            if hasattr(error, "message"):
                error.message = printable(error.message)
            show()
            return USAGE
        if debug:
            raise
        sentence = lack_of_memory(error) or f"{type(error).__name__}: {error}"
        say(f"spinenet: {sentence} (--debug shows where)", err=True)
        return UNFINISHED
    if code == _INTERRUPTED:
        typer.echo("spinenet: stopped", err=True)
        return UNFINISHED
    return code if isinstance(code, int) else DONE


def debug_first(arguments: Sequence[str]) -> list[str]:
    """Move ``--debug`` in front of the command, from wherever it stands before a ``--``."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = [argument for argument in arguments[:end] if argument != _DEBUG]
    asked = [_DEBUG] if len(options) < end else []
    return [*asked, *options, *arguments[end:]]
