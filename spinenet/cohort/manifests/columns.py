"""The columns of a manifest as they are in its file, and the names that have a meaning."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyarrow as pa

from spinenet.errors import ManifestError
from spinenet.printable import printable
from spinenet.readers.dicom.overrides import OVERRIDABLE

COLUMNS: tuple[str, ...] = ("scan_id", "path", "subject_id", "series_uid", "exclude")
"""Names of columns with a meaning; other columns are carried into ``scans``."""

OVERRIDES: tuple[str, ...] = tuple(OVERRIDABLE)
"""Carried columns whose values, where not empty, replace the tag of that name in a scan's headers."""

TEXT, WHOLE, REAL, TRUTH, OTHER = "text", "whole", "real", "truth", "other"
"""Kinds of values in a column of a file."""


@dataclass(frozen=True)
class Column:
    """One column of a manifest's file.

    Attributes
    ----------
    name
        Name in the file.
    values
        Texts, or values of a Parquet file's type.
    bare
        Whether the values are text only because the file has no types (CSV), or because JSON numbers are
        kept as they are written.
    kinds
        Kinds of the values according to the file: :data:`TEXT`, :data:`WHOLE` ...
    """

    name: str
    values: pa.ChunkedArray
    bare: bool
    kinds: frozenset[str]


def plain_name(name: str) -> str:
    """A column's name without case, spaces, underscores, dots and hyphens: ``Scan ID`` becomes ``scanid``."""
    return re.sub(r"[\s_.-]+", "", name).casefold()


def no_plain_values(url: str, name: str, held: str) -> ManifestError:
    """The error of a column whose values are no text, number, date or boolean."""
    return ManifestError(
        f"column {printable(name)} of {url} holds {held}; a manifest carries plain values only, so write "
        "them as text or leave the column out"
    )
