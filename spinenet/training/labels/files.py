"""Labelled scans that are listed before they are read, and what becomes of those that cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from spinenet.errors import ScanError, SpinenetError
from spinenet.training.labels.labelled import LabelledScan


@dataclass(frozen=True)
class LabelledFile:
    """A labelled scan that is not read yet: enough to split a collection by subject.

    Attributes
    ----------
    name
        Its file, for messages.
    subject, source
        As in :class:`spinenet.training.labels.labelled.LabelledScan`.
    read
        Reads it; can be pickled, so that another process may.
    """

    name: str
    subject: str
    source: str
    read: Callable[[], LabelledScan]


@dataclass(frozen=True)
class Unused:
    """A labelled file that cannot be used, and one sentence why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Readings:
    """What became of a collection's files."""

    scans: tuple[LabelledScan, ...]
    unused: tuple[Unused, ...]


def read_each(files: Iterable[LabelledFile]) -> Iterator[LabelledScan | Unused]:
    """Read files one after the other, so that no more than one of them need be in memory."""
    for file in files:
        try:
            yield file.read()
        except (SpinenetError, OSError, ValueError) as error:
            yield Unused(file.name, reason_of(error))


def read_all(files: Iterable[LabelledFile]) -> Readings:
    """Read files that fit in memory together."""
    results = list(read_each(files))
    return Readings(
        tuple(result for result in results if isinstance(result, LabelledScan)),
        tuple(result for result in results if isinstance(result, Unused)),
    )


def reason_of(error: Exception) -> str:
    """What an error says, in one sentence."""
    if isinstance(error, ScanError):
        return error.detail
    if isinstance(error, OSError) and error.strerror:
        return f"{Path(str(error.filename)).name}: {error.strerror.lower()}"
    return str(error) or type(error).__name__
