"""The commands ``spinenet weights list, fetch, verify, import``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from flows.cli.printing import say, table_console, wrapped
from spinenet import weights
from spinenet.errors import WeightsError
from spinenet.printable import printable
from spinenet.weights.description import is_bundle
from spinenet.weights.domain import Domain, validation_sentence
from spinenet.weights.names import PUBLISHED

if TYPE_CHECKING:
    from rich.progress import TaskID

    from spinenet.weights.downloads import Progress as Report

weights_app = typer.Typer(help="See, fetch, verify and convert network weights.", no_args_is_help=True)


@weights_app.command("list")
def list_weights(
    as_json: Annotated[bool, typer.Option("--json", help="For machines: all that is known of each.")] = False,
) -> None:
    """Show which weights are here, what each is for, where it was seen to work, and under what terms."""
    bundles = weights.installed()
    if as_json:
        typer.echo(json.dumps([_told(bundle) for bundle in bundles], indent=2))
        return
    table = Table("name", "state", "for", "licence", "folder")
    for bundle in bundles:
        licence = _licence(bundle)
        table.add_row(
            printable(_name(bundle)),
            "not here" if bundle.folder is None else f"here, {bundle.size_bytes / 1e6:.1f} MB",
            "not stated" if bundle.domain is None else bundle.domain.scans,
            printable(licence if len(licence) <= 60 else f"{licence[:57]}..."),
            "" if bundle.folder is None else printable(bundle.folder),
        )
    # for the paths in it
    table_console(240).print(table)
    for bundle in bundles:
        if bundle.domain is not None:
            typer.echo(wrapped(f"{_name(bundle)}: {_sentences(bundle.domain)}"))


def _name(bundle: weights.Installed) -> str:
    return str(bundle.name if bundle.folder is None else bundle.description.get("name", bundle.name))


def _licence(bundle: weights.Installed) -> str:
    return " ".join(str(bundle.description.get("licence", "")).split())


def _sentences(domain: Domain) -> str:
    """What a bundle is for, where it was seen to work and where not, and what was never validated."""
    said = (
        domain.purpose,
        f"Works: {domain.works}",
        f"Not: {domain.fails}",
        validation_sentence(domain.not_validated),
    )
    return " ".join(sentence for sentence in said if sentence)


def _told(bundle: weights.Installed) -> dict[str, object]:
    domain = bundle.domain
    return {
        "name": _name(bundle),
        "folder": None if bundle.folder is None else str(bundle.folder),
        "size_bytes": bundle.size_bytes,
        "licence": _licence(bundle),
        "domain": None if domain is None else domain.plain(),
        "not_validated": None if domain is None else list(domain.not_validated),
    }


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
