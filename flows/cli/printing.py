"""Prints sentences and counted groups that fit the terminal, without control characters and secrets."""

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
"""Most scans of a group that are named; the others are only counted."""
_NARROWEST = 20
"""Least width of a page, in terminal cells."""


@dataclass(frozen=True)
class Group:
    """Scans of one state or reason, for printing.

    Attributes
    ----------
    count
        Number of scans.
    what, meaning
        Name of the state or reason, and its explanation, if it needs one.
    names
        Ids of all scans, or of the first ones.
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
    """Width of the output.

    Attributes
    ----------
    width
        Width of a line in terminal cells; None for lines of any length.
    cut
        Whether longer names are shortened, as on a terminal but not in output that a program may read.
    """

    width: int | None
    cut: bool

    @classmethod
    def of_stdout(cls) -> Page:
        """The width of the terminal; without one, the variable COLUMNS."""
        if sys.stdout.isatty():
            return cls(max(_NARROWEST, shutil.get_terminal_size().columns), cut=True)
        columns = os.environ.get("COLUMNS", "")
        return cls(max(_NARROWEST, int(columns)) if columns.isdecimal() else None, cut=False)


def say(text: str, *, err: bool = False) -> None:
    """Print one line, without control characters and secrets."""
    typer.echo(printable(redacted(text)), err=err)


def say_groups(title: str, where: str, groups: Iterable[Group]) -> None:
    """Print a title with a place, and each group: its count, its name and its scans."""
    for line in group_lines(title, where, list(groups), Page.of_stdout()):
        typer.echo(line)


def group_lines(title: str, where: str, groups: Sequence[Group], page: Page) -> Iterator[str]:
    """The lines of :func:`say_groups`, none wider than a page that cuts."""
    place = printable(redacted(where))
    yield _fitted(f"{title} {place}", page)
    digits = max((len(str(group.count)) for group in groups), default=1)
    indent = " " * (digits + 3)
    for group in groups:
        heading = f"{group.what}: {group.meaning}" if group.meaning else group.what
        yield from _wrapped(f"{group.count:>{digits + 1}}  {printable(heading)}", indent, page)
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
    """Lines of names with commas between them, as many on a line as fit."""
    line = ""
    for place, name in enumerate(names):
        comma = "," if place + 1 < len(names) else ""
        item = _fitted(name, page, len(indent) + len(comma)) + comma
        if line and page.width is not None and cell_len(f"{line} {item}") > page.width:
            yield line
            line = ""
        line = f"{line} {item}" if line else indent + item
    if line:
        yield line


def _fitted(text: str, page: Page, taken: int = 0) -> str:
    """The text, with its middle left out if it does not fit beside ``taken`` cells."""
    if page.width is None or not page.cut:
        return text
    most = room = page.width - taken
    while cell_len(text) > room:
        text = printable(text, most)
        most -= 1
    return text


def table_console(width: int = 160) -> Console:
    """A console as wide as the terminal, or ``width`` cells without one, as wrapped lines cannot be searched.

    It interprets no markup, which printed names might contain.
    """
    return Console(width=None if sys.stdout.isatty() else width, markup=False, emoji=False)


class LineFormatter(logging.Formatter):
    """Formats log records as single lines without control characters and secrets; indents tracebacks."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """See :class:`logging.Formatter`."""
        return printable(redacted(super().formatMessage(record)))

    def formatException(self, ei: object) -> str:  # noqa: N802 - logging's own name
        """See :class:`logging.Formatter`."""
        traceback = super().formatException(ei)  # type: ignore[arg-type]
        return "\n".join(f"    {printable(redacted(line))}" for line in traceback.split("\n"))
