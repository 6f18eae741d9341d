"""The commands ``spinenet weights list, fetch, verify, import``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from flows.cli.printing import say, table_console
from spinenet import weights
from spinenet.errors import WeightsError
from spinenet.printable import printable
from spinenet.weights.description import is_bundle
from spinenet.weights.names import PUBLISHED

if TYPE_CHECKING:
    from rich.progress import TaskID

    from spinenet.weights.downloads import Progress as Report

weights_app = typer.Typer(help="See, fetch, verify and convert network weights.", no_args_is_help=True)


@weights_app.command("list")
def list_weights() -> None:
    """Show which weights are here, where, and under what terms."""
    table = Table("name", "state", "licence", "folder")
    for bundle in weights.installed():
        licence = " ".join(str(bundle.description.get("licence", "")).split())
        table.add_row(
            printable(bundle.name if bundle.folder is None else bundle.description.get("name", bundle.name)),
            "not here" if bundle.folder is None else "here",
            printable(licence if len(licence) <= 60 else f"{licence[:57]}..."),
            "" if bundle.folder is None else printable(bundle.folder),
        )
    # for the paths in it
    table_console(240).print(table)


@weights_app.command("fetch")
def fetch_weights(
    name: Annotated[str, typer.Argument(help="spinenet-v2, or the URL of a bundle.")] = PUBLISHED,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="I have read and accept the terms.")
    ] = False,
    mirror: Annotated[
        str | None,
        typer.Option(help="URL that serves the published files.", envvar="SPINENET_WEIGHTS_URL"),
    ] = None,
    sha256: Annotated[
        list[str] | None,
        typer.Option(help="Expected digest of a file, as PATH=SHA256; can be repeated."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Fetch again what is already here.")] = False,
) -> None:
    """Fetch weights into the store, after their terms were shown and accepted."""
    digests = dict(_pair(text) for text in sha256 or ())
    if force or not is_bundle(weights.folder_of(name)):
        terms = weights.terms_of(name)
        if terms is not None:
            typer.echo(terms)
            if not accept_licence and sys.stdin.isatty():
                accept_licence = typer.confirm("Have you read the terms, and do you accept them?")
    with _progress() as report:
        bundle = weights.fetch(
            name, accept_licence, base_url=mirror, digests=digests, force=force, progress=report
        )
    say(f"{name} is verified and here: {bundle.folder}")


@weights_app.command("verify")
def verify_weights(
    names: Annotated[
        list[str] | None, typer.Argument(help="Names, folders or URLs; by default all that are here.")
    ] = None,
) -> None:
    """Check digests, names and shapes of every network."""
    from spinenet.weights.networks import load_networks

    here = [str(bundle.folder) for bundle in weights.installed() if bundle.folder is not None]
    for name in names or here:
        bundle = weights.resolve(name)
        load_networks(bundle)
        say(f"{name}: whole, digests and shapes match ({bundle.folder})")


@weights_app.command("import")
def import_weights(
    folder: Annotated[Path, typer.Argument(help="Folder with detect-vfr/ckpt435.pt and the other three.")],
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder of the new bundle; by default the store.")
    ] = None,
) -> None:
    """Convert the published .pt files to a bundle; every name and shape must match."""
    bundle = weights.import_published(folder, to or weights.folder_of(PUBLISHED))
    say(f"Converted to {bundle.folder}; use it with `--weights {to or PUBLISHED}`")


def _pair(text: str) -> tuple[str, str]:
    path, _, digest = text.rpartition("=")
    if not path or len(digest) != 64:
        raise WeightsError(f"'{text}' is not of the form PATH=SHA256, such as context/ckpt16.pt=0f3a...")
    return path, digest


@contextmanager
def _progress() -> Iterator[Report | None]:
    if not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def report(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name)
            bars.update(tasks[name], completed=done, total=total)

        yield report
