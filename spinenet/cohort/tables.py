"""The three tables of a run: one explicit, versioned schema each, and rows in and out of Parquet."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from spinenet.added_findings import AddedFinding
from spinenet.anatomy import FINDINGS, LEVELS, REASONS, SACRAL_RELABEL, Finding
from spinenet.types import CORNERS

SCHEMA_VERSION = 1
TABLES: tuple[str, ...] = ("scans", "vertebrae", "grades")
STATES: tuple[str, ...] = ("done", "failed", "excluded")
STAGES: tuple[str, ...] = ("read", "detect", "label", "grade")

HEADER_TEXTS: tuple[str, ...] = ("series_uid", "manufacturer", "model", "body_part", "description")
"""Facts of a header that ``scans`` shows, by the readers' own names."""

HEADER_NUMBERS: Mapping[str, str] = MappingProxyType(
    {
        "field_strength_t": "field_strength",
        "echo_time_ms": "echo_time",
        "repetition_time_ms": "repetition_time",
        "inversion_time_ms": "inversion_time",
        "slice_thickness_mm": "slice_thickness",
    }
)
"""Column of ``scans`` to the readers' name of a number, in DICOM's own unit."""

PREFIX = "manifest_"
"""Before the name of a carried column that ``scans`` has a column of its own of."""

_CRANIAL_FIRST = (*reversed(LEVELS), SACRAL_RELABEL)
_DISCS = tuple(f"{above}-{below}" for above, below in itertools.pairwise(_CRANIAL_FIRST))

Row = dict[str, Any]


def grid_columns(
    shape: tuple[int, int, int], pixel_spacing: tuple[float, float], slice_spacing: float
) -> Row:
    """Columns of the size and the spacings of a scan, in ``scans`` as in an index."""
    rows, columns, slices = shape
    row_mm, column_mm = pixel_spacing
    return {
        "rows": rows,
        "columns": columns,
        "slices": slices,
        "row_spacing_mm": row_mm,
        "column_spacing_mm": column_mm,
        "slice_spacing_mm": slice_spacing,
    }


def _coded(words: Sequence[str]) -> tuple[pa.DataType, pa.Array]:
    """A dictionary type and the fixed dictionary that every part shares."""
    return pa.dictionary(pa.int32(), pa.string()), pa.array(words, pa.string())


_CODED: Mapping[tuple[str, str], tuple[pa.DataType, pa.Array]] = MappingProxyType(
    {
        ("scans", "status"): _coded(STATES),
        ("scans", "reason"): _coded(tuple(REASONS)),
        ("scans", "sequence"): _coded(("T1", "T2", "STIR", "other")),
        ("vertebrae", "level"): _coded(_CRANIAL_FIRST),
        ("grades", "level"): _coded(_DISCS),
    }
)


def _schema(table: str, fields: Iterable[tuple[str, pa.DataType]]) -> pa.Schema:
    metadata = {"spinenet_table": table, "spinenet_schema": str(SCHEMA_VERSION)}
    return pa.schema(
        [(name, _CODED[table, name][0] if (table, name) in _CODED else kind) for name, kind in fields],
        metadata,
    )


def _finding_fields(finding: Finding) -> list[tuple[str, pa.DataType]]:
    shown = finding.values if finding.ordinal else finding.values[-1:]
    fields = [(finding.name, pa.int8())]
    fields += [(f"{finding.name}_p{value}", pa.float32()) for value in shown]
    return [*fields, (f"{finding.name}_expected", pa.float32())] if finding.ordinal else fields


def _added_fields(finding: AddedFinding) -> list[pa.Field]:
    plain = finding.plain()
    told = {"scale": plain["scale"], "codes": json.dumps(plain["codes"])}
    fields = [
        pa.field(name, pa.float32(), metadata={"description": sentence})
        for name, sentence in finding.columns()
    ]
    grade = fields[0]
    return [pa.field(grade.name, pa.int8(), metadata={**grade.metadata, **told}), *fields[1:]]


SCANS: pa.Schema = _schema(
    "scans",
    [
        ("scan_id", pa.string()),
        ("subject_id", pa.string()),
        ("path", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("rows", pa.int32()),
        ("columns", pa.int32()),
        ("slices", pa.int32()),
        ("row_spacing_mm", pa.float64()),
        ("column_spacing_mm", pa.float64()),
        ("slice_spacing_mm", pa.float64()),
        ("sequence", pa.string()),
        *((column, pa.string()) for column in HEADER_TEXTS),
        *((column, pa.float64()) for column in HEADER_NUMBERS),
        ("flags", pa.list_(pa.string())),
        ("n_vertebrae", pa.int32()),
        ("n_discs", pa.int32()),
        ("failed_discs", pa.list_(pa.string())),
        ("input_fingerprint", pa.string()),
        ("weights", pa.string()),
        ("weights_fingerprint", pa.string()),
        ("spinenet_version", pa.string()),
        ("torch_version", pa.string()),
        *((f"seconds_{stage}", pa.float64()) for stage in STAGES),
    ],
)
"""Schema of ``scans`` without the columns carried from the manifest."""

VERTEBRAE: pa.Schema = _schema(
    "vertebrae",
    [
        ("scan_id", pa.string()),
        ("subject_id", pa.string()),
        ("level", pa.string()),
        ("level_probability", pa.float64()),
        ("slices", pa.list_(pa.int32())),
        ("mid_slice", pa.int32()),
        *((f"{corner}_{axis}", pa.float64()) for corner in CORNERS for axis in "xy"),
        *((f"centre_{axis}_mm", pa.float64()) for axis in "xyz"),
    ],
)

GRADES: pa.Schema = _schema(
    "grades",
    [
        ("scan_id", pa.string()),
        ("subject_id", pa.string()),
        ("level", pa.string()),
        ("mid_slice", pa.int32()),
        *(column for finding in FINDINGS for column in _finding_fields(finding)),
    ],
)


def schema(table: str, carried: Sequence[pa.Field] = (), added: Sequence[AddedFinding] = ()) -> pa.Schema:
    """Schema of a table by name, with the columns that a manifest carries into ``scans``.

    A carried column that has the name of one of the table's own becomes ``manifest_<name>``. Findings that a
    bundle adds have their columns at the end of ``grades`` or ``vertebrae``, with their coding in the fields'
    metadata.
    """
    own = {"scans": SCANS, "vertebrae": VERTEBRAE, "grades": GRADES}[table]
    if table != "scans":
        new = [column for finding in added if finding.table == table for column in _added_fields(finding)]
        return pa.schema([*own, *new], own.metadata) if new else own
    taken = set(own.names)
    extra = [f.with_name(f"{PREFIX}{f.name}") if f.name in taken else f for f in carried]
    return pa.schema([*own, *extra], own.metadata)


def to_table(
    table: str,
    rows: Sequence[Row],
    carried: pa.Table | None = None,
    added: Sequence[AddedFinding] = (),
) -> pa.Table:
    """Rows as an Arrow table of the table's schema, absent values null.

    Parameters
    ----------
    carried
        The manifest's own columns, one row for each of ``rows``; for ``scans`` only.
    added
        Findings that the bundle adds.
    """
    own = schema(table, added=added)
    columns = [_column(table, f, [row.get(f.name) for row in rows]) for f in own]
    if table == "scans" and carried is not None:
        columns += [column.combine_chunks() for column in carried.columns]
        own = schema(table, list(carried.schema))
    return pa.Table.from_arrays(columns, schema=own)


def to_parquet(table: pa.Table, row_group_size: int = 100_000) -> bytes:
    """A table as one Parquet file in memory; equal tables give equal bytes."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", row_group_size=row_group_size)
    return buffer.getvalue()


def parquet_writer(file: Path, declared: pa.Schema) -> pq.ParquetWriter:
    """Writes a table piece by piece as :func:`to_parquet` does it whole; equal pieces give equal bytes."""
    return pq.ParquetWriter(file, declared, compression="zstd")


def from_parquet(data: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """The table of one Parquet file in memory."""
    return pq.read_table(arrow_file(data), columns=columns)


def arrow_file(data: bytes) -> pa.BufferReader:
    """A file that Arrow's own threads read, who may be at it still when Python ends: it is none of Python's.

    A thread that then asks for the interpreter ends the process with signal 6.
    """
    copied = pa.BufferOutputStream()
    copied.write(data)
    return pa.BufferReader(copied.getvalue())


def _column(table: str, declared: pa.Field, values: list[Any]) -> pa.Array:
    if (table, declared.name) not in _CODED:
        return pa.array(values, declared.type)
    kind, words = _CODED[table, declared.name]
    codes = {word: code for code, word in enumerate(words.to_pylist())}
    indices = pa.array([None if value is None else codes[value] for value in values], kind.index_type)
    return pa.DictionaryArray.from_arrays(indices, words)
