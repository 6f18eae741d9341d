"""A manifest: which scans a run is to read, one row each."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from spinenet.cohort.tables import arrow_file
from spinenet.errors import ManifestError
from spinenet.readers.headers import OVERRIDABLE
from spinenet.storage import Retries
from spinenet.storage.answers import Facts, refusal
from spinenet.storage.redaction import redacted

COLUMNS: tuple[str, ...] = ("scan_id", "path", "subject_id", "series_uid", "exclude")
"""The columns that a manifest gives a meaning to; others are carried into ``scans``."""

OVERRIDES: tuple[str, ...] = tuple(OVERRIDABLE)
"""Carried columns that also replace the tags of these names in a scan's headers, where they are not empty."""

_ROWS_AT_ONCE = 8192
"""Rows that are Python values at a time: a long manifest is held as Arrow columns, a tenth of the size."""

_TEXT = {name: pa.string() for name in COLUMNS}
_NOT_EXCLUDED = frozenset({"", "0", "0.0", "false", "no", "n", "none"})
_PLAINLY_EXCLUDED = frozenset({"1", "1.0", "true", "yes", "y", "x"})
_ABSOLUTE = re.compile(r"^(/|~|[A-Za-z]:[\\/]|[A-Za-z][A-Za-z0-9+.-]*(::|://))")


@dataclass(frozen=True)
class Entry:
    """One row of a manifest, its path made absolute.

    Attributes
    ----------
    excluded
        Whether the row is to be left out.
    note
        Why, if the manifest says more than yes.
    overrides
        Values that replace tags, by keyword; see :data:`OVERRIDES`.
    """

    scan_id: str
    path: str
    subject_id: str | None = None
    series_uid: str | None = None
    excluded: bool = False
    note: str | None = None
    overrides: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """A manifest in memory.

    Attributes
    ----------
    url
        Where it was read.
    table
        The columns of :data:`COLUMNS` as text, paths absolute, then the carried ones as they were typed.
    """

    url: str
    table: pa.Table

    @property
    def carried(self) -> tuple[pa.Field, ...]:
        """The columns that are carried into ``scans``."""
        return tuple(field for field in self.table.schema if field.name not in COLUMNS)

    @property
    def digest(self) -> str:
        """SHA-256 of names, types and values, whatever file format held them."""
        state = hashlib.sha256()
        for field, column in zip(self.table.schema, self.table.columns, strict=True):
            state.update(f"{field.name}:{field.type}\n".encode())
            # One JSON list for each column, made piece by piece.
            for start in range(0, max(1, len(column)), _ROWS_AT_ONCE):
                piece = json.dumps(column.slice(start, _ROWS_AT_ONCE).to_pylist(), default=str)
                state.update((", " if start else "[").encode() + piece[1:-1].encode())
            state.update(b"]")
        return state.hexdigest()


def entries(table: pa.Table) -> Iterator[Entry]:
    """The rows of a manifest's table, or of a slice of it."""
    supplied = [name for name in OVERRIDES if name in table.column_names]
    for row in table.select([*COLUMNS, *supplied]).to_pylist():
        values = {name: str(value) for name in supplied if (value := row.pop(name)) not in (None, "")}
        said = (row.pop("exclude") or "").strip()
        excluded = said.lower() not in _NOT_EXCLUDED
        note = said if excluded and said.lower() not in _PLAINLY_EXCLUDED else None
        yield Entry(**row, excluded=excluded, note=note, overrides=values)


def read_manifest(url: str, storage_options: Mapping[str, Any] | None = None) -> Manifest:
    """Read and check a manifest.

    Parameters
    ----------
    url
        A CSV, TSV, JSON lines or Parquet file at any fsspec URL.
    storage_options
        Passed to fsspec.

    Raises
    ------
    ManifestError
        It is absent, cannot be parsed, or lacks or repeats what each row needs.
    """
    raw = _parse(redacted(url), _fetch(url, storage_options))
    place, url = url, redacted(url)
    missing = [name for name in ("scan_id", "path") if name not in raw.column_names]
    if missing:
        found = ", ".join(raw.column_names)
        raise ManifestError(
            f"{url} has no column {' and none named '.join(missing)}; its columns are {found}"
        )
    if raw.num_rows == 0:
        raise ManifestError(f"{url} has no rows; list at least one scan")
    columns: dict[str, Any] = {name: _as_text(raw, name) for name in COLUMNS}
    _refuse_blank(url, "scan_id", columns["scan_id"])
    _refuse_blank(url, "path", columns["path"])
    _refuse_repeats(url, columns["scan_id"])
    columns["path"] = _by_pieces(columns["path"], lambda path: resolve_path(path, place))
    _refuse_secrets(url, columns["path"])
    for field in raw.schema:
        if field.name not in COLUMNS:
            columns[field.name] = _carried(url, field, raw.column(field.name))
    return Manifest(url, pa.table(columns))


def resolve_path(path: str, manifest_url: str) -> str:
    """``path`` as it stands if absolute or a URL, else seen from the manifest's folder."""
    if _ABSOLUTE.match(path):
        return path
    protocol, separator, place = manifest_url.rpartition("://")
    if not separator:
        place = fsspec.implementations.local.make_path_posix(manifest_url)
    folder = posixpath.dirname(place)
    return protocol + separator + posixpath.normpath(posixpath.join(folder, path))


def _fetch(url: str, storage_options: Mapping[str, Any] | None) -> bytes:
    def whole() -> bytes:
        with fsspec.open(url, "rb", compression="infer", **dict(storage_options or {})) as file:
            return bytes(file.read())

    try:
        return Retries().call(whole)
    except FileNotFoundError as error:
        if Facts.of(error).passing:  # some filesystems say so of a server that is not there
            raise ManifestError(str(refusal("read", url, error, local=False))) from error
        raise ManifestError(f"there is no manifest at {redacted(url)}") from None
    except IsADirectoryError:
        told = f"{redacted(url)} is a folder; name a CSV, TSV, JSON lines or Parquet file"
        raise ManifestError(told) from None
    except (ValueError, ImportError) as error:
        raise ManifestError(f"cannot read {redacted(url)}: {redacted(str(error))}") from error
    except Exception as error:
        raise ManifestError(str(refusal("read", url, error, local="://" not in url))) from error


def _parse(url: str, data: bytes) -> pa.Table:
    name = url.lower()
    for ending in (".gz", ".bz2", ".xz", ".zst"):
        name = name.removesuffix(ending)
    try:
        if name.endswith((".parquet", ".pq")):
            return pa.parquet.read_table(arrow_file(data))
        if name.endswith((".jsonl", ".ndjson", ".json")):
            return pa.json.read_json(arrow_file(data))
        if name.endswith((".csv", ".tsv", ".txt")):
            return pa.csv.read_csv(
                arrow_file(data),
                parse_options=pa.csv.ParseOptions(delimiter=_delimiter(name, data)),
                convert_options=pa.csv.ConvertOptions(column_types=_TEXT, strings_can_be_null=True),
            )
    except pa.ArrowInvalid as error:
        raise ManifestError(f"{url} cannot be parsed: {str(error).splitlines()[0]}") from error
    raise ManifestError(f"{url} is no manifest: its name must end in .csv, .tsv, .jsonl or .parquet")


def _delimiter(name: str, data: bytes) -> str:
    """A comma or, in a header without one, the semicolon or tab that spreadsheets write instead."""
    if name.endswith(".tsv"):
        return "\t"
    header = data.split(b"\n", 1)[0]
    return next((mark for mark in (",", "\t", ";") if mark.encode() in header), ",")


def _as_text(table: pa.Table, name: str) -> pa.Array:
    if name not in table.column_names:
        return pa.nulls(table.num_rows, pa.string())
    return _by_pieces(table.column(name), lambda value: None if value is None else str(value).strip())


def _by_pieces(column: pa.ChunkedArray | pa.Array, change: Callable[[Any], str | None]) -> pa.Array:
    pieces = [
        pa.array(map(change, column.slice(start, _ROWS_AT_ONCE).to_pylist()), pa.string())
        for start in range(0, len(column), _ROWS_AT_ONCE)
    ]
    return pa.concat_arrays(pieces)


def _refuse_blank(url: str, name: str, values: pa.Array) -> None:
    blank = pc.fill_null(pc.equal(values, ""), True)
    if pc.any(blank).as_py():
        rows = pc.indices_nonzero(blank).to_pylist()
        raise ManifestError(f"{url} has no {name} in row {_some([r + 1 for r in rows])}; every row needs one")


def _refuse_secrets(url: str, paths: pa.Array) -> None:
    """The paths of a manifest are kept with the run, which is no place for a password."""
    rows = [row for row, path in enumerate(paths.to_pylist(), start=1) if redacted(path) != path]
    if rows:
        raise ManifestError(
            f"{url} has a password, token or signature in the path of row {_some(rows)}, and a run keeps its "
            "paths; give credentials by environment or by fsspec's configuration"
        )


def _refuse_repeats(url: str, values: pa.Array) -> None:
    if pc.count_distinct(values).as_py() == len(values):
        return
    counts = pc.value_counts(values)
    repeated = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    raise ManifestError(f"{url} repeats scan_id {_some(repeated.to_pylist())}; each must be unique")


def _some(items: Any, most: int = 3) -> str:
    listed = list(items)
    rest = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(str(item) for item in listed[:most]) + rest


def _carried(url: str, field: pa.Field, column: pa.ChunkedArray) -> pa.Array:
    if pa.types.is_nested(field.type):
        raise ManifestError(
            f"column {field.name} of {url} holds {field.type}; a manifest carries plain values only"
        )
    if pa.types.is_null(field.type):
        return pa.nulls(len(column), pa.string())
    if pa.types.is_dictionary(field.type):
        column = column.cast(field.type.value_type)
    return column.combine_chunks()
