"""Writes an index in the format of its file name: Parquet, CSV, TSV or JSON lines, with equal values."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.csv

from spinenet.cohort.tables import to_parquet

PARQUET = ".parquet"
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = ".jsonl"
SUFFIXES: tuple[str, ...] = (PARQUET, *_DELIMITERS, _JSON_LINES)
"""Endings of a file name that an index can be written to."""
_ROWS_AT_ONCE = 1000
"""Rows converted to Python objects at a time, to bound memory."""


def suffix_of(name: str) -> str | None:
    """The one of :data:`SUFFIXES` that ``name`` ends in; None if it has none, or is nothing else."""
    ending = next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)
    return ending if ending and name != ending else None


def as_file(table: pa.Table, name: str) -> bytes:
    """The bytes of a manifest called ``name``.

    In CSV and TSV a missing value is an empty field, an empty text is two quotation marks, and numbers
    keep all their digits.
    """
    suffix = suffix_of(name)
    if suffix == _JSON_LINES:
        return "".join(_json_lines(table)).encode()
    if suffix in _DELIMITERS:
        file = io.BytesIO()
        options = pyarrow.csv.WriteOptions(delimiter=_DELIMITERS[suffix], quoting_style="needed")
        pyarrow.csv.write_csv(_exact(table), file, options)
        return file.getvalue()
    return to_parquet(table)


def _exact(table: pa.Table) -> pa.Table:
    """The table with floats as texts by Python's ``repr``: Arrow would write 1.0 as 1."""
    for position, field in enumerate(table.schema):
        if pa.types.is_floating(field.type):
            written = [None if value is None else repr(value) for value in table[field.name].to_pylist()]
            table = table.set_column(position, field.name, pa.array(written, pa.string()))
    return table


def _json_lines(table: pa.Table) -> Iterator[str]:
    for batch in table.to_batches(max_chunksize=_ROWS_AT_ONCE):
        for row in batch.to_pylist():
            yield json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"
