"""Reads the columns of a manifest from the bytes of its file: CSV, TSV, JSON lines or Parquet."""

from __future__ import annotations

import codecs
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet

from spinenet.cohort.manifests.columns import OTHER, REAL, TEXT, TRUTH, WHOLE, Column, no_plain_values
from spinenet.cohort.manifests.csv_rows import from_csv
from spinenet.cohort.manifests.json_rows import from_json_lines
from spinenet.cohort.tables import arrow_file
from spinenet.errors import ManifestError
from spinenet.printable import printable

_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
_AS_UTF8 = "save it as UTF-8 (in a spreadsheet: CSV UTF-8)"
_NO_TEXT: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "is an Excel workbook or another zip archive; save the sheet as CSV UTF-8"),
    (b"\xd0\xcf\x11\xe0", "is an Excel workbook; save the sheet as CSV UTF-8"),
    (b"PAR1", "is a Parquet file; let its name end in .parquet"),
    (b"ARROW1", "is an Arrow file; save it as Parquet"),
    (b"\x1f\x8b", "is compressed by gzip; let its name say so, such as manifest.csv.gz"),
    (b"BZh", "is compressed by bzip2; let its name say so, such as manifest.csv.bz2"),
    (b"\xfd7zXZ", "is compressed by xz; let its name say so, such as manifest.csv.xz"),
    (b"\x28\xb5\x2f\xfd", "is compressed by zstd; let its name say so, such as manifest.csv.zst"),
    (b"SQLite format 3", "is a database; save the table as CSV UTF-8"),
    (b"%PDF", "is a PDF; save the table as CSV UTF-8"),
    (codecs.BOM_UTF32_LE, f"is UTF-32 text; {_AS_UTF8}"),
    (codecs.BOM_UTF32_BE, f"is UTF-32 text; {_AS_UTF8}"),
    (codecs.BOM_UTF16_LE, f"is UTF-16 text; {_AS_UTF8}"),
    (codecs.BOM_UTF16_BE, f"is UTF-16 text; {_AS_UTF8}"),
    (b"<", "is a web page or another document, no table; save the table as CSV UTF-8"),
)
"""First bytes of files that users take for text tables, and the advice for each."""


def read_columns(url: str, data: bytes) -> list[Column]:
    """Read the columns of a manifest.

    Parameters
    ----------
    url
        URL of the file, without secrets, as messages quote it; its ending decides the format.
    data
        Bytes of the file, decompressed.

    Raises
    ------
    ManifestError
        The file has another format, or is damaged.
    """
    name = (urlsplit(url).path if "://" in url else url).lower()
    for ending in _COMPRESSED:
        name = name.removesuffix(ending)
    if name.endswith((".parquet", ".pq")):
        return _from_parquet(url, data)
    _refuse_no_text(url, data)
    if name.endswith((".jsonl", ".ndjson", ".json")):
        return from_json_lines(url, data)
    if name.endswith((".csv", ".tsv", ".txt")):
        return from_csv(url, data, tabs=name.endswith(".tsv"))
    raise ManifestError(f"{url} is no manifest: its name must end in .csv, .tsv, .jsonl or .parquet")


def _refuse_no_text(url: str, data: bytes) -> None:
    for start, advice in _NO_TEXT:
        if data.startswith(start) or (start == b"<" and data.lstrip()[:1] == start):
            raise ManifestError(f"{url} {advice}")
    if data[:1] and b"\0" in (data[0:1], data[1:2]):
        raise ManifestError(f"{url} is UTF-16 text; {_AS_UTF8}")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ManifestError(f"{url} is no UTF-8 text (line {line}); {_AS_UTF8}") from None


def _from_parquet(url: str, data: bytes) -> list[Column]:
    try:
        table = pyarrow.parquet.read_table(arrow_file(data))
    except (pa.ArrowInvalid, OSError) as error:
        raise ManifestError(f"{url} cannot be parsed: {printable(str(error).splitlines()[0])}") from error
    columns = []
    for field, column in zip(table.schema, table.columns, strict=True):
        values, kind = column, field.type
        if isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
            values = pa.chunked_array([chunk.storage for chunk in values.chunks], kind)
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
            values = values.cast(kind)
        if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_null(kind):
            kind = pa.string()
            values = values.cast(kind)
        if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            raise no_plain_values(url, field.name, str(kind))
        columns.append(Column(field.name, values, False, frozenset({_kind_of(kind)})))
    return columns


def _kind_of(kind: pa.DataType) -> str:
    if pa.types.is_string(kind):
        return TEXT
    if pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0):
        return WHOLE
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return REAL
    return TRUTH if pa.types.is_boolean(kind) else OTHER
