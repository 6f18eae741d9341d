"""Reads a manifest of JSON lines; numbers keep their digits as written."""

from __future__ import annotations

import codecs
import io
import json
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from spinenet.cohort.manifests.column_types import ROWS_AT_ONCE
from spinenet.cohort.manifests.columns import REAL, TEXT, TRUTH, WHOLE, Column, no_plain_values
from spinenet.errors import ManifestError
from spinenet.printable import printable


class _Whole(str):
    """A JSON integer, as written."""


class _Real(str):
    """A JSON number with a fraction or exponent, as written."""


_KINDS: Mapping[type, str] = {str: TEXT, _Whole: WHOLE, _Real: REAL, bool: TRUTH}


def from_json_lines(url: str, data: bytes) -> list[Column]:
    """Read the columns of UTF-8 text with one JSON object on each line; absent keys are missing values.

    Raises
    ------
    ManifestError
        A line is no object, names a column twice, or holds objects or lists.
    """
    data = data.removeprefix(codecs.BOM_UTF8)
    if data.lstrip()[:1] == b"[":
        raise ManifestError(
            f"{url} is a JSON array; write JSON lines: one object on each line, without brackets and commas "
            "between them"
        )
    pieces: dict[str, list[pa.Array]] = {}
    kinds: dict[str, set[str]] = {}
    n_rows = 0
    rows = _objects(url, data)
    while batch := list(islice(rows, ROWS_AT_ONCE)):
        for name in dict.fromkeys(name for row in batch for name in row):
            before = [pa.nulls(n_rows, pa.string())] if n_rows else []
            values = [row.get(name) for row in batch]
            kinds.setdefault(name, set()).update(_KINDS[type(v)] for v in values if v is not None)
            pieces.setdefault(name, before).append(pa.array(map(_as_text, values), pa.string()))
        for name in pieces.keys() - {name for row in batch for name in row}:
            pieces[name].append(pa.nulls(len(batch), pa.string()))
        n_rows += len(batch)
    columns = []
    for name, arrays in pieces.items():
        values = pa.chunked_array(arrays, pa.string())
        if kinds[name] == {TRUTH}:
            values = pc.utf8_capitalize(values)
        columns.append(Column(name, values, TEXT not in kinds[name], frozenset(kinds[name])))
    return columns


def _objects(url: str, data: bytes) -> Iterator[dict[str, Any]]:
    number = 0
    for line in io.BytesIO(data):
        if not line.strip():
            continue
        number += 1
        try:
            row = json.loads(
                line,
                parse_int=_Whole,
                parse_float=_Real,
                parse_constant=_Real,
                object_pairs_hook=_unique_keys(url, number),
            )
        except (json.JSONDecodeError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise ManifestError(
                f"{url} cannot be parsed: row {number} is no JSON object; write one object on each line"
            )
        for name, value in row.items():
            if isinstance(value, dict | list):
                raise no_plain_values(url, name, "objects or lists")
            if not _is_text(name) or (isinstance(value, str) and not _is_text(value)):
                raise ManifestError(f"{url} holds half a character (a lone surrogate) in row {number}")
        yield row


def _unique_keys(url: str, number: int) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    def check_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        row = dict(pairs)
        if len(row) != len(pairs):
            twice = next(name for name, _ in pairs if sum(name == other for other, _ in pairs) > 1)
            raise ManifestError(f"{url} repeats {printable(twice)} in row {number}; name each column once")
        return row

    return check_pairs


def _as_text(value: str | bool | None) -> str | None:
    return json.dumps(value) if isinstance(value, bool) else value


def _is_text(value: str) -> bool:
    return value.isascii() or value.encode(errors="replace").decode() == value
