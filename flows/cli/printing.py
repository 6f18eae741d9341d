"""What the commands print: sentences and counted groups that fit the terminal, and that nothing can forge."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import typer
from rich.cells import cell_len
from rich.console import Console

from spinenet.printable import printable
from spinenet.redaction import redacted

SHOWN = 5
"""Scans of a group that are named where others are counted only."""
_NARROWEST = 20


@dataclass(frozen=True)
class Group:
    """Some scans that have something in common.

    Attributes
    ----------
    what, meaning
        A word for it, and what that means, if that needs saying.
    names
        The scans, or some of them.
    more
        Whether there are others.
    """

    count: int
    what: str
    meaning: str = ""
    names: Sequence[str] = ()
    more: bool = False


@dataclass(frozen=True)
class Page:
    """Where lines go.

    Attributes
    ----------
    width
        Cells of a line; None for lines of any length.
    cut
        Whether a name that is longer is shortened. What a program reads is not.
    """

    width: int | None
    cut: bool

    @classmethod
    def of_stdout(cls) -> Page:
        """As wide as the terminal; beside one, as COLUMNS says."""
        if sys.stdout.isatty():
            return cls(max(_NARROWEST, shutil.get_terminal_size().columns), cut=True)
        said = os.environ.get("COLUMNS", "")
        return cls(max(_NARROWEST, int(said)) if said.isdecimal() else None, cut=False)


def say(text: str, *, err: bool = False) -> None:
    """Print one line, without control characters and secrets, whatever it was made of."""
    typer.echo(printable(redacted(text)), err=err)


def say_groups(title: str, where: str, groups: Iterable[Group]) -> None:
    """Print a title with a place, and each group: its count, what it is, and below that its scans."""
    for line in group_lines(title, where, list(groups), Page.of_stdout()):
        typer.echo(line)


def group_lines(title: str, where: str, groups: Sequence[Group], page: Page) -> Iterator[str]:
    """The lines of :func:`say_groups`, each at most as wide as the page if that cuts what is longer."""
    place = printable(redacted(where))
    yield _fitted(f"{title} {place}", page)
    digits = max((len(str(group.count)) for group in groups), default=1)
    indent = " " * (digits + 3)
    for group in groups:
        told = f"{group.what}: {group.meaning}" if group.meaning else group.what
        yield from _wrapped(f"{group.count:>{digits + 1}}  {printable(told)}", indent, page)
        names = [printable(name) for name in group.names]
        yield from _listed([*names, *(["..."] if names and group.more else [])], indent, page)


def wrapped(text: str) -> str:
    """A sentence in lines that fit the terminal."""
    return "\n".join(_wrapped(printable(redacted(text)), "", Page.of_stdout()))


def _wrapped(text: str, indent: str, page: Page) -> list[str]:
    if page.width is None:
        return [text]
    return textwrap.wrap(
        text,
        page.width,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )


def _listed(names: Sequence[str], indent: str, page: Page) -> Iterator[str]:
    """Names apart by commas, as many on a line as fit."""
    line = ""
    for place, name in enumerate(names):
        comma = "," if place + 1 < len(names) else ""
        told = _fitted(name, page, len(indent) + len(comma)) + comma
        if line and page.width is not None and cell_len(f"{line} {told}") > page.width:
            yield line
            line = ""
        line = f"{line} {told}" if line else indent + told
    if line:
        yield line


def _fitted(text: str, page: Page, taken: int = 0) -> str:
    """A text that fits beside what is taken already, its middle left out if it must be."""
    if page.width is None or not page.cut:
        return text
    most = room = page.width - taken
    while cell_len(text) > room:
        text = printable(text, most)
        most -= 1
    return text


def table_console(width: int = 160) -> Console:
    """A console as wide as the terminal; without one ``width``, for broken lines cannot be searched.

    It takes no markup: what it prints may come from outside.
    """
    return Console(width=None if sys.stdout.isatty() else width, markup=False, emoji=False)


class LineFormatter(logging.Formatter):
    """Log records of one line each, without control characters and secrets; tracebacks below, set in."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """See :class:`logging.Formatter`."""
        return printable(redacted(super().formatMessage(record)))

    def formatException(self, ei: object) -> str:  # noqa: N802 - logging's own name
        """See :class:`logging.Formatter`."""
        told = super().formatException(ei)  # type: ignore[arg-type]
        return "\n".join(f"    {printable(redacted(line))}" for line in told.split("\n"))
