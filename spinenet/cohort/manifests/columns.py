"""The columns of a manifest: those that have a meaning, and any column just as its file has it."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyarrow as pa

from spinenet.errors import ManifestError
from spinenet.printable import printable
from spinenet.readers.dicom.overrides import OVERRIDABLE

COLUMNS: tuple[str, ...] = ("scan_id", "path", "subject_id", "series_uid", "exclude")
"""The columns that a manifest gives a meaning to; others are carried into ``scans``."""

OVERRIDES: tuple[str, ...] = tuple(OVERRIDABLE)
"""Carried columns that also replace the tags of these names in a scan's headers, where they are not empty."""

TEXT, WHOLE, REAL, TRUTH, OTHER = "text", "whole", "real", "truth", "other"
"""Kinds of values that a file may hold in a column."""


@dataclass(frozen=True)
class Column:
    """One column as its file has it.

    Attributes
    ----------
    values
        Text, or what a Parquet file types otherwise.
    bare
        Whether the values are text because the file states no type, as in CSV, or as JSON's numbers are
        written.
    kinds
        Of :data:`TEXT`, :data:`WHOLE` ...: what the file says that its values are.
    """

    name: str
    values: pa.ChunkedArray
    bare: bool
    kinds: frozenset[str]


def plain_name(name: str) -> str:
    """A column's name without case, spaces and what stands for spaces: ``Scan ID`` is ``scanid``."""
    return re.sub(r"[\s_.-]+", "", name).casefold()


def no_plain_values(url: str, name: str, held: str) -> ManifestError:
    """The error of a column whose values are no text, number, date or truth value."""
    return ManifestError(
        f"column {printable(name)} of {url} holds {held}; a manifest carries plain values only, so write "
        "them as text or leave the column out"
    )
