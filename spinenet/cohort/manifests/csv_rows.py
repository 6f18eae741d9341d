"""Reads a manifest of delimited text: CSV, TSV, and the variants that spreadsheets write."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Mapping, Sequence
from itertools import islice

import pyarrow as pa
import pyarrow.csv

from spinenet.cohort.manifests.columns import TEXT, Column, plain_name
from spinenet.cohort.tables import arrow_file
from spinenet.errors import ManifestError
from spinenet.printable import printable

_MARKS = (",", "\t", ";", "|")
_NAMES: Mapping[str, str] = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}
_BLOCK = 16 << 20
"""Bytes that Arrow parses at a time: a row must not be longer."""


def from_csv(url: str, data: bytes, tabs: bool) -> list[Column]:
    """Read the columns of UTF-8 text; ``tabs`` is true where the file's name ends in .tsv.

    Raises
    ------
    ManifestError
        A row is longer or shorter than the header, a quotation mark is out of place, or a column has no name.
    """
    data = data.removeprefix(codecs.BOM_UTF8)
    header, mark = _header(url, data, tabs)
    n_rows = _check_rows(url, data, header, mark)
    generated = [str(number) for number in range(len(header))]
    try:
        table = pyarrow.csv.read_csv(
            # without a final line end Arrow reads a missing last value as an empty text
            arrow_file(data + b"\n"),
            read_options=pyarrow.csv.ReadOptions(column_names=generated, block_size=_BLOCK),
            parse_options=pyarrow.csv.ParseOptions(delimiter=mark, newlines_in_values=True),
            # an empty field is a missing value, a pair of quotation marks an empty text
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={name: pa.string() for name in generated},
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        ).slice(1)
    except pa.ArrowInvalid as error:
        raise ManifestError(f"{url} cannot be parsed: {printable(str(error).splitlines()[0])}") from error
    if table.num_rows != n_rows:
        raise ManifestError(f"{url} cannot be parsed: it holds quotation marks or line ends out of place")
    columns = []
    for number, (name, values) in enumerate(zip(header, table.columns, strict=True), start=1):
        if name.strip():
            columns.append(Column(name, values, True, frozenset({TEXT})))
        elif values.null_count < len(values):
            raise ManifestError(f"column {number} of {url} has no name; name it, or remove it")
    return columns


def _header(url: str, data: bytes, tabs: bool) -> tuple[list[str], str]:
    """Names of the columns, and the delimiter, which in spreadsheets' CSV may be a semicolon or a tab."""
    marks = ("\t", *_MARKS) if tabs else _MARKS
    start = io.TextIOWrapper(io.BytesIO(data), "utf-8", newline="")
    lines = list(islice(start, 64))
    headers = []
    for mark in marks:
        try:
            rows = csv.reader(lines, delimiter=mark, strict=True)
            headers.append((next((row for row in rows if row), []), mark))
        except csv.Error:
            continue
    if not any(names for names, _ in headers):
        raise ManifestError(f"{url} cannot be parsed: it has no header; its first line names the columns")
    needed = {plain_name(name) for name in ("scan_id", "path")}
    whole = [candidate for candidate in headers if needed <= set(map(plain_name, candidate[0]))]
    return whole[0] if whole else max(headers, key=lambda candidate: len(candidate[0]))


def _check_rows(url: str, data: bytes, header: Sequence[str], mark: str) -> int:
    """Number of rows after the header, each of its length; Arrow would repair other rows silently."""
    lines = io.TextIOWrapper(io.BytesIO(data), "utf-8", newline="")
    rows = (row for row in csv.reader(lines, delimiter=mark, strict=True) if row)
    number = -1
    try:
        for number, row in enumerate(rows):
            if len(row) != len(header):
                raise ManifestError(
                    f"{url} cannot be parsed: row {number} has {len(row)} values where the header names "
                    f"{len(header)} columns; put values that hold a {_NAMES[mark]} in quotation marks"
                )
    except csv.Error as error:
        raise ManifestError(
            f"{url} cannot be parsed: row {number + 1} has a quotation mark out of place or is too long "
            f"({error}); within quotation marks write two for one"
        ) from None
    return number
