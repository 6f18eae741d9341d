"""Reads and checks a manifest, the table of the scans of a run."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import fsspec
import pyarrow as pa

from spinenet.cohort.manifests.checks import (
    refuse_bad_overrides,
    refuse_blank,
    refuse_repeats,
    refuse_secrets,
    refuse_shadows,
    refuse_unknown_types,
)
from spinenet.cohort.manifests.column_types import (
    AS_INFERRED,
    MISSING,
    ROWS_AT_ONCE,
    TYPES,
    ColumnTypes,
    given_as,
    held_as,
    in_pieces,
    inferred,
    name_of,
)
from spinenet.cohort.manifests.columns import COLUMNS, OVERRIDES, TEXT, WHOLE, Column, plain_name
from spinenet.cohort.manifests.files import read_columns
from spinenet.errors import ManifestError
from spinenet.printable import printable
from spinenet.redaction import has_secret, redacted, secret_refusal
from spinenet.storage import Retries
from spinenet.storage.addresses import is_url
from spinenet.storage.answers import Facts, refusal

_NOT_EXCLUDED = MISSING | {"0", "0.0", "false", "no", "n"}
_PLAINLY_EXCLUDED = frozenset({"1", "1.0", "true", "yes", "y", "x"})
_ABSOLUTE = re.compile(r"^(/|~|[A-Za-z]:[\\/])")


@dataclass(frozen=True)
class Entry:
    """One row of a manifest, with its path made absolute.

    Attributes
    ----------
    excluded
        Whether the row is excluded from the run.
    note
        Reason of the exclusion, if the manifest gives one.
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
        URL of the manifest.
    table
        The columns of :data:`COLUMNS` as text, with absolute paths, then the carried ones.
    types
        Names of the types of carried columns that a user gave.
    """

    url: str
    table: pa.Table
    types: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def carried(self) -> tuple[pa.Field, ...]:
        """The columns that are carried into ``scans``."""
        return tuple(field for field in self.table.schema if field.name not in COLUMNS)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of names, types and values, whatever the file format."""
        state = hashlib.sha256()
        for field, column in zip(self.table.schema, self.table.columns, strict=True):
            state.update(f"{field.name}:{field.type}\n".encode())
            # the digest is that of one JSON list for each column, made piece by piece to bound memory
            for start in range(0, max(1, len(column)), ROWS_AT_ONCE):
                piece = json.dumps(column.slice(start, ROWS_AT_ONCE).to_pylist(), default=str)
                state.update((", " if start else "[").encode() + piece[1:-1].encode())
            state.update(b"]")
        return state.hexdigest()


def entries(table: pa.Table) -> Iterator[Entry]:
    """The entries of a manifest's table, or of a slice of it."""
    supplied = [name for name in OVERRIDES if name in table.column_names]
    for row in table.select([*COLUMNS, *supplied]).to_pylist():
        values = {name: str(value) for name in supplied if (value := row.pop(name)) not in (None, "")}
        exclude = (row.pop("exclude") or "").strip()
        excluded = exclude.lower() not in _NOT_EXCLUDED
        note = exclude if excluded and exclude.lower() not in _PLAINLY_EXCLUDED else None
        yield Entry(**row, excluded=excluded, note=note, overrides=values)


def read_manifest(
    url: str, storage_options: Mapping[str, Any] | None = None, types: ColumnTypes = AS_INFERRED
) -> Manifest:
    """Read and check a manifest.

    Parameters
    ----------
    url
        A CSV, TSV, JSON lines or Parquet file at any fsspec URL.
    storage_options
        Options for fsspec.
    types
        Fixed types of carried columns. Other columns keep the type of a Parquet file; in other files they
        are text, or integers, numbers or booleans if each value converts back to its text.

    Raises
    ------
    ManifestError
        The file does not exist, cannot be parsed, or fails a check.
    """
    if has_secret(url):
        raise ManifestError(secret_refusal(url))
    columns = _named(url, read_columns(url, _fetch(url, storage_options)))
    missing = [name for name in ("scan_id", "path") if name not in columns]
    if columns and missing:
        names = ", ".join(printable(name, 40) for name in list(columns)[:40])
        raise ManifestError(
            f"{url} has no column {' and none named '.join(missing)}; its columns are {names}"
        )
    n_rows = len(next(iter(columns.values())).values) if columns else 0
    if n_rows == 0:
        raise ManifestError(f"{url} has no rows; list at least one scan")
    standard = {name: _as_text(url, columns.pop(name, None), name, n_rows) for name in COLUMNS}
    refuse_blank(url, "scan_id", standard["scan_id"])
    refuse_blank(url, "path", standard["path"])
    refuse_repeats(url, standard["scan_id"])
    standard["path"] = in_pieces(standard["path"], lambda path: resolve_path(path, url), pa.string())
    refuse_secrets(url, standard["path"])
    refuse_unknown_types(url, columns, types)
    carried = {name: _typed(url, column, types) for name, column in columns.items()}
    table = pa.table({name: values.combine_chunks() for name, values in (standard | carried).items()})
    refuse_shadows(url, table)
    refuse_bad_overrides(url, table)
    given = {name: held for name, held in types.held.items() if not held.exact}
    kept = {name: name_of(held.type) for name, held in given.items() if name in carried}
    return Manifest(url, table, kept | dict(types.given))


def resolve_path(path: str, manifest_url: str) -> str:
    """Make a path absolute: it is relative to the manifest's folder, unless absolute or a URL."""
    if _ABSOLUTE.match(path) or is_url(path):
        return path
    protocol, separator, place = manifest_url.rpartition("://")
    if not separator:
        place = fsspec.implementations.local.make_path_posix(manifest_url)
    elif protocol.endswith(("http", "https")):
        place = re.split(r"[?#]", place, maxsplit=1)[0]
    folder = posixpath.dirname(place)
    return protocol + separator + posixpath.normpath(posixpath.join(folder, path))


def _fetch(url: str, storage_options: Mapping[str, Any] | None) -> bytes:
    def read_file() -> bytes:
        with fsspec.open(url, "rb", compression="infer", **dict(storage_options or {})) as file:
            return bytes(file.read())

    try:
        return Retries().call(read_file)
    except FileNotFoundError as error:
        if Facts.of(error).passing:  # some filesystems raise it where the server cannot be reached
            raise ManifestError(str(refusal("read", url, error, local=False))) from error
        raise ManifestError(f"there is no manifest at {redacted(url)}") from None
    except IsADirectoryError:
        message = f"{redacted(url)} is a folder; name a CSV, TSV, JSON lines or Parquet file"
        raise ManifestError(message) from None
    except (ValueError, ImportError) as error:
        raise ManifestError(f"cannot read {redacted(url)}: {redacted(str(error))}") from error
    except Exception as error:
        raise ManifestError(str(refusal("read", url, error, local="://" not in url))) from error


def _named(url: str, columns: Sequence[Column]) -> dict[str, Column]:
    """Columns by name; a name that is nearly one of :data:`COLUMNS`, such as "Scan ID", is corrected."""
    exact = {column.name for column in columns}
    standard = {plain_name(name): name for name in COLUMNS if name not in exact}
    supplied = {name.casefold(): name for name in OVERRIDES}
    by_name: dict[str, Column] = {}
    for column in columns:
        name = standard.get(plain_name(column.name), column.name)
        tag = supplied.get(name.replace(" ", "").casefold())
        if tag is not None and name != tag:
            raise ManifestError(
                f"{url} has a column {printable(name)}; write it {tag} if it replaces that tag, else name it "
                "otherwise"
            )
        if name in by_name:
            twice = " and ".join(dict.fromkeys(printable(n) for n in (by_name[name].name, column.name)))
            raise ManifestError(
                f"{url} repeats the column {printable(name)} (as {twice}); leave one, or rename the other"
            )
        by_name[name] = column
    return by_name


def _as_text(url: str, column: Column | None, name: str, n_rows: int) -> pa.ChunkedArray:
    """A column of :data:`COLUMNS` as text without surrounding spaces; integers as their digits."""
    if column is None:
        return pa.chunked_array([pa.nulls(n_rows, pa.string())])
    if name != "exclude" and not column.kinds <= {TEXT, WHOLE}:
        raise ManifestError(
            f"{url} has values in {name} that are neither text nor whole numbers; write them as text"
        )
    values = column.values
    if not pa.types.is_string(values.type):
        values = values.cast(pa.string())
    return in_pieces(values, lambda value: None if value is None else value.strip(), pa.string())


def _typed(url: str, column: Column, types: ColumnTypes) -> pa.ChunkedArray:
    """Convert a carried column to the type given by the user, else held by the run, else inferred."""
    name, values = column.name, column.values
    kind, held = types.given.get(name), types.held.get(name)
    if not (column.bare or pa.types.is_string(values.type)):
        if kind is not None and TYPES[kind] != values.type:
            raise ManifestError(
                f"column {printable(name)} of {url} is {values.type} in the file; say no other type of it"
            )
        return values
    if kind is not None:
        typed, misfit = given_as(values, kind)
        advice = f"which is no {kind}; correct it, or say text"
    elif held is not None and (column.bare or not held.exact):
        typed, misfit = held_as(values, held)
        advice = (
            f"and the run holds that column as {name_of(held.type)} since it began; write it alike, or do "
            f"the run anew: --regrade --types '{printable(name)}=text'"
        )
    else:
        return inferred(values) if column.bare else values
    if misfit is not None:
        value = printable(repr(values[misfit].as_py()), 60)
        raise ManifestError(f"{url} has {value} in column {printable(name)}, row {misfit + 1}, {advice}")
    return typed
