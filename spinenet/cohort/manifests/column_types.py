"""Which type a carried column of a manifest has: text, unless nothing is lost or its user says so."""

from __future__ import annotations

import datetime
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from spinenet.errors import ManifestError
from spinenet.printable import printable

ROWS_AT_ONCE = 8192
"""Rows that are Python values at a time: a long manifest is held as Arrow columns, a tenth of the size."""

TYPES: Mapping[str, pa.DataType] = MappingProxyType(
    {
        "text": pa.string(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "boolean": pa.bool_(),
        "date": pa.date32(),
    }
)
"""Types that a user may say, and what they are in ``scans``."""

MISSING = frozenset({"", "na", "n/a", "<na>", "nan", "null", "none"})
"""What means no value, in any case, in a column of which its user says that it is no text."""

_TRUE, _FALSE = frozenset({"true", "t", "yes", "y", "1"}), frozenset({"false", "f", "no", "n", "0"})
_WHOLE = re.compile(r"[+-]?\d{1,19}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Held:
    """The type that a column of a run has had since the run began.

    Attributes
    ----------
    type
        In the frozen plan.
    exact
        Whether it was inferred, so that each new value must be written back as the same text; else its user
        said it.
    """

    type: pa.DataType
    exact: bool


@dataclass(frozen=True)
class ColumnTypes:
    """What decides on the types of carried columns, beside their text.

    Attributes
    ----------
    said
        Type by column, of :data:`TYPES`, as the user says now.
    held
        Columns of a run that was begun with the manifest; what is said now goes before.
    """

    said: Mapping[str, str] = field(default_factory=dict)
    held: Mapping[str, Held] = field(default_factory=dict)


AS_INFERRED = ColumnTypes()
"""No user says a type, and no run holds one."""


def name_of(kind: pa.DataType) -> str:
    """What a user calls a type of a column."""
    return next((name for name, known in TYPES.items() if known == kind), str(kind))


def said_types(text: str) -> dict[str, str]:
    """Types from the command line.

    Parameters
    ----------
    text
        ``COLUMN=TYPE,...``, or the name of a TOML file with a line ``COLUMN = "TYPE"`` for each.

    Raises
    ------
    ManifestError
        It is neither, or names a type that is not one of :data:`TYPES`.
    """
    told = dict(_pairs(text)) if "=" in text else _from_toml(text)
    for column, kind in told.items():
        if kind not in TYPES:
            raise ManifestError(
                f"--types says {printable(kind)} of column {printable(column)}; a type is one of "
                f"{', '.join(TYPES)}"
            )
    return told


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for pair in text.split(","):
        column, mark, kind = pair.rpartition("=")
        if not mark:
            raise ManifestError(
                f"--types has {printable(pair)!r}, which is no COLUMN=TYPE; for names with a comma use TOML"
            )
        yield column.strip(), kind.strip()


def _from_toml(file: str) -> dict[str, str]:
    try:
        told = tomllib.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ManifestError(
            f"cannot read the types in {printable(file)} ({type(error).__name__}); give COLUMN=TYPE,... or a "
            'TOML file of lines such as age = "number"'
        ) from None
    return {column: str(kind) for column, kind in told.items()}


def inferred(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of text as whole numbers, numbers or truth values, where each is written back as it was.

    Parameters
    ----------
    texts
        Empty ones are missing beside numbers, and stay empty text else.
    """
    given = _without_empty(texts)
    if given.null_count == len(given):
        return texts
    for convert in (_as_whole, _as_numbers, _as_truth):
        found = convert(given)
        if found is not None:
            return found
    return texts


def held_as(texts: pa.ChunkedArray, held: Held) -> tuple[pa.ChunkedArray, int | None]:
    """A column in the type that a run holds it in, and the row of the first value that does not fit."""
    if pa.types.is_string(held.type):
        return texts, None
    if not held.exact:
        return said_as(texts, name_of(held.type))
    given = _without_empty(texts)
    convert: Callable[[str], Any] = _EXACT[held.type]
    return _converted(given, convert, held.type)


def said_as(texts: pa.ChunkedArray, kind: str) -> tuple[pa.ChunkedArray, int | None]:
    """A column in the type that its user says, and the row (from 0) of the first value that does not fit."""
    return (texts, None) if kind == "text" else _converted(texts, _LENIENT[kind], TYPES[kind])


def in_pieces(column: pa.ChunkedArray, change: Callable[[Any], Any], kind: pa.DataType) -> pa.ChunkedArray:
    """A column with each value changed, a few of them as Python values at a time."""
    pieces = [
        pa.array(map(change, column.slice(start, ROWS_AT_ONCE).to_pylist()), kind)
        for start in range(0, len(column), ROWS_AT_ONCE)
    ]
    return pa.chunked_array(pieces, kind)


def _converted(
    texts: pa.ChunkedArray, convert: Callable[[str], Any], kind: pa.DataType
) -> tuple[pa.ChunkedArray, int | None]:
    row = 0

    def one(text: str | None) -> Any:
        nonlocal row
        row += 1
        return None if text is None else convert(text)

    try:
        return in_pieces(texts, one, kind), None
    except ValueError:
        return texts, row - 1


def _without_empty(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    # not if_else: before pyarrow 24 it gives other text where a column does not begin at its buffer's start
    missing = pa.scalar(None, pa.string())
    pieces = [pc.replace_with_mask(piece, pc.equal(piece, ""), missing) for piece in texts.chunks]
    return pa.chunked_array(pieces, pa.string())


def _as_whole(texts: pa.ChunkedArray) -> pa.ChunkedArray | None:
    try:
        numbers = pc.cast(texts, pa.int64())
    except pa.ArrowInvalid:
        return None
    return numbers if pc.cast(numbers, pa.string()).equals(texts) else None


def _as_numbers(texts: pa.ChunkedArray) -> pa.ChunkedArray | None:
    found, misfit = _converted(texts, _number, pa.float64())
    return found if misfit is None else None


def _as_truth(texts: pa.ChunkedArray) -> pa.ChunkedArray | None:
    found, misfit = _converted(texts, _truth, pa.bool_())
    return found if misfit is None else None


def _whole(text: str) -> int:
    if not _WHOLE.fullmatch(text) or str(int(text)) != text or not -(2**63) <= int(text) < 2**63:
        raise ValueError(text)
    return int(text)


def _number(text: str) -> float:
    if not _NUMBER.fullmatch(text) or repr(float(text)) != text:
        raise ValueError(text)
    return float(text)


def _truth(text: str) -> bool:
    return text == "True" if text in ("True", "False") else _no(text)


def _no(text: str) -> Any:
    raise ValueError(text)


def _lenient(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    def one(text: str) -> Any:
        bare = text.strip()
        return None if bare.lower() in MISSING else convert(bare)

    return one


def _any_whole(text: str) -> int:
    return int(text) if _WHOLE.fullmatch(text) and -(2**63) <= int(text) < 2**63 else _no(text)


def _any_number(text: str) -> float:
    return float(text) if _NUMBER.fullmatch(text) else _no(text)


def _any_truth(text: str) -> bool:
    lower = text.lower()
    return lower in _TRUE if lower in _TRUE | _FALSE else _no(text)


def _any_date(text: str) -> datetime.date:
    return datetime.date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else _no(text)


_EXACT: Mapping[pa.DataType, Callable[[str], Any]] = {
    pa.int64(): _whole,
    pa.float64(): _number,
    pa.bool_(): _truth,
}

_LENIENT: Mapping[str, Callable[[str], Any]] = {
    "integer": _lenient(_any_whole),
    "number": _lenient(_any_number),
    "boolean": _lenient(_any_truth),
    "date": _lenient(_any_date),
}
