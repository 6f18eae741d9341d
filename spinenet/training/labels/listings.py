"""Reads listings: files of JSON lines, each of which names a picture or a volume and whom it shows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from spinenet.errors import LabelsError
from spinenet.training.labels.files import LabelledFile
from spinenet.training.labels.labelled import LabelledScan

Spacing = float | tuple[float, float]


@dataclass(frozen=True)
class Listed:
    """A line of a listing.

    Attributes
    ----------
    folder
        Where the paths of the line start.
    line
        What it states, and what is stated for all lines.
    subject, source
        As in :class:`spinenet.training.labels.labelled.LabelledScan`.
    """

    folder: Path
    line: Mapping[str, Any]
    subject: str
    source: str

    @property
    def name(self) -> str:
        """The image's path, as it is stated."""
        return str(self.line["image"])

    @property
    def spacing(self) -> tuple[float, float]:
        """(row, column) in mm; LabelsError where the line states no such thing."""
        try:
            pair = np.broadcast_to(np.asarray(self.line.get("spacing_mm"), np.float64), 2)
        except (TypeError, ValueError):
            pair = np.zeros(2)
        if not (np.isfinite(pair) & (pair > 0)).all():
            raise LabelsError(f"{self.name} has no spacing_mm that is a length, or two, in mm")
        return float(pair[0]), float(pair[1])


def listed(
    listing: Path,
    source: str,
    needed: tuple[str, type],
    stated: Mapping[str, Any],
    read: Callable[[Listed], LabelledScan],
) -> tuple[LabelledFile, ...]:
    """The images of a listing.

    Parameters
    ----------
    listing
        A file whose lines are objects with ``image`` and ``subject`` (or ``patient``).
    source
        The collection's name; a ``patient`` is a subject of this name.
    needed
        What a line must have besides, and of which type.
    stated
        What holds for lines that do not state it.
    read
        Reads one of them; can be pickled.

    Raises
    ------
    LabelsError
        A line is no such object.
    OSError
        The file is not there.
    """
    key, kind = needed
    files = []
    for where, line in _lines(listing):
        subject = _subject(line, source, where)
        if not isinstance(line.get("image"), str) or not isinstance(line.get(key), kind):
            raise LabelsError(f"{where} states no image, or no {key}")
        one = Listed(listing.parent, {**stated, **line}, subject, source)
        files.append(LabelledFile(one.name, subject, source, partial(read, one)))
    return tuple(files)


def _lines(listing: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(where it stands, object) of each line of a file."""
    for number, text in enumerate(listing.read_text(encoding="utf-8").splitlines(), start=1):
        if not text.strip():
            continue
        where = f"line {number} of {listing.name}"
        try:
            line = json.loads(text)
        except ValueError:
            line = None
        if not isinstance(line, dict):
            raise LabelsError(f"{where} is no JSON object")
        yield where, line


def _subject(line: Mapping[str, Any], source: str, where: str) -> str:
    """The subject that a line states."""
    if line.get("subject") not in (None, ""):
        return str(line["subject"])
    if line.get("patient") in (None, ""):
        raise LabelsError(f"{where} states no subject")
    return f"{source}-{line['patient']}"
