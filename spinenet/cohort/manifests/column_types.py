"""Types of a manifest's carried columns: given by the user, inferred where that loses nothing, else text."""

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
"""Rows that are Python objects at a time: a long manifest stays in Arrow columns, a tenth of the size."""

TYPES: Mapping[str, pa.DataType] = MappingProxyType(
    {
        "text": pa.string(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "boolean": pa.bool_(),
        "date": pa.date32(),
    }
)
"""Arrow types in the table ``scans``, by the names that a user may give."""

MISSING = frozenset({"", "na", "n/a", "<na>", "nan", "null", "none"})
"""Lower-case texts that mean a missing value in a column whose type the user gives as other than text."""

_TRUE, _FALSE = frozenset({"true", "t", "yes", "y", "1"}), frozenset({"false", "f", "no", "n", "0"})
_WHOLE = re.compile(r"[+-]?\d{1,19}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Held:
    """The type of a column in a run, fixed since the run began.

    Attributes
    ----------
    type
        Type in the frozen plan.
    exact
        True if it was inferred, so that each new value must convert back to the same text; False if the user
        gave it.
    """

    type: pa.DataType
    exact: bool


@dataclass(frozen=True)
class ColumnTypes:
    """Types that are fixed for carried columns.

    Attributes
    ----------
    given
        Names of :data:`TYPES` by column, given by the user now; they override ``held``.
    held
        Types by column in a run that was begun with the manifest.
    """

    given: Mapping[str, str] = field(default_factory=dict)
    held: Mapping[str, Held] = field(default_factory=dict)


AS_INFERRED = ColumnTypes()
"""No fixed types: all are inferred."""


def name_of(kind: pa.DataType) -> str:
    """The user's name for a type."""
    return next((name for name, type_ in TYPES.items() if type_ == kind), str(kind))


def parse_types(text: str) -> dict[str, str]:
    """Parse the types given on the command line.

    Parameters
    ----------
    text
        ``COLUMN=TYPE,...``, or the name of a TOML file with lines ``COLUMN = "TYPE"``.

    Returns
    -------
    dict
        Name of the type by column.

    Raises
    ------
    ManifestError
        The text is neither, or names a type that is not one of :data:`TYPES`.
    """
    types = dict(_pairs(text)) if "=" in text else _from_toml(text)
    for column, kind in types.items():
        if kind not in TYPES:
            raise ManifestError(
                f"--types says {printable(kind)} of column {printable(column)}; a type is one of "
                f"{', '.join(TYPES)}"
            )
    return types


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
        types = tomllib.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ManifestError(
            f"cannot read the types in {printable(file)} ({type(error).__name__}); give COLUMN=TYPE,... or a "
            'TOML file of lines such as age = "number"'
        ) from None
    return {column: str(kind) for column, kind in types.items()}


def inferred(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Convert a text column to integers, numbers or booleans, if each value converts back to its text.

    Parameters
    ----------
    texts
        The column; empty texts are missing values beside numbers or booleans, and stay empty texts else.
    """
    present = _without_empty(texts)
    if present.null_count == len(present):
        return texts
    for convert in (_as_whole, _as_numbers, _as_truth):
        converted = convert(present)
        if converted is not None:
            return converted
    return texts


def held_as(texts: pa.ChunkedArray, held: Held) -> tuple[pa.ChunkedArray, int | None]:
    """Convert a text column to its type in the run; also the first row (from 0) that does not fit."""
    if pa.types.is_string(held.type):
        return texts, None
    if not held.exact:
        return given_as(texts, name_of(held.type))
    present = _without_empty(texts)
    convert: Callable[[str], Any] = _EXACT[held.type]
    return _converted(present, convert, held.type)


def given_as(texts: pa.ChunkedArray, kind: str) -> tuple[pa.ChunkedArray, int | None]:
    """Convert a text column to a given type; also the first row (from 0) that does not fit."""
    return (texts, None) if kind == "text" else _converted(texts, _LENIENT[kind], TYPES[kind])


def in_pieces(column: pa.ChunkedArray, change: Callable[[Any], Any], kind: pa.DataType) -> pa.ChunkedArray:
    """Apply ``change`` to each value of a column, a few rows at a time as Python objects."""
    pieces = [
        pa.array(map(change, column.slice(start, ROWS_AT_ONCE).to_pylist()), kind)
        for start in range(0, len(column), ROWS_AT_ONCE)
    ]
    return pa.chunked_array(pieces, kind)


def _converted(
    texts: pa.ChunkedArray, convert: Callable[[str], Any], kind: pa.DataType
) -> tuple[pa.ChunkedArray, int | None]:
    row = 0

    def convert_next(text: str | None) -> Any:
        nonlocal row
        row += 1
        return None if text is None else convert(text)

    try:
        return in_pieces(texts, convert_next, kind), None
    except ValueError:
        return texts, row - 1


def _without_empty(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    # not if_else: before pyarrow 24 it returns wrong text for a column with an offset into its buffer
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
    numbers, misfit = _converted(texts, _number, pa.float64())
    return numbers if misfit is None else None


def _as_truth(texts: pa.ChunkedArray) -> pa.ChunkedArray | None:
    booleans, misfit = _converted(texts, _truth, pa.bool_())
    return booleans if misfit is None else None


def _whole(text: str) -> int:
    if not _WHOLE.fullmatch(text) or str(int(text)) != text or not -(2**63) <= int(text) < 2**63:
        raise ValueError(text)
    return int(text)


def _number(text: str) -> float:
    if not _NUMBER.fullmatch(text) or repr(float(text)) != text:
        raise ValueError(text)
    return float(text)


def _truth(text: str) -> bool:
    return text == "True" if text in ("True", "False") else _refuse(text)


def _refuse(text: str) -> Any:
    raise ValueError(text)


def _lenient(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    def convert_present(text: str) -> Any:
        bare = text.strip()
        return None if bare.lower() in MISSING else convert(bare)

    return convert_present


def _any_whole(text: str) -> int:
    return int(text) if _WHOLE.fullmatch(text) and -(2**63) <= int(text) < 2**63 else _refuse(text)


def _any_number(text: str) -> float:
    return float(text) if _NUMBER.fullmatch(text) else _refuse(text)


def _any_truth(text: str) -> bool:
    lower = text.lower()
    return lower in _TRUE if lower in _TRUE | _FALSE else _refuse(text)


def _any_date(text: str) -> datetime.date:
    return datetime.date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else _refuse(text)


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
