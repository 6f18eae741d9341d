"""Checks of a manifest; each error names the rows and says what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from spinenet.cohort.manifests.column_types import ColumnTypes
from spinenet.cohort.manifests.columns import COLUMNS, OVERRIDES, Column
from spinenet.cohort.tables import PREFIX, schema
from spinenet.errors import ManifestError, ScanError
from spinenet.printable import printable
from spinenet.readers.dicom.overrides import override_numbers
from spinenet.redaction import has_secret


def refuse_unknown_types(url: str, columns: Mapping[str, Column], types: ColumnTypes) -> None:
    """Refuse a type that is given for a column which is not carried."""
    unknown = [name for name in types.given if name not in columns]
    if unknown:
        raise ManifestError(
            f"--types names {_few(map(printable, unknown))}, which {url} does not carry; ids and paths are "
            "always text"
        )


def refuse_shadows(url: str, table: pa.Table) -> None:
    """Refuse columns that would share a name in ``scans``, where ``rows`` becomes ``manifest_rows``."""
    names = schema("scans", [field for field in table.schema if field.name not in COLUMNS]).names
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ManifestError(
            f"{url} has columns {printable(twice[0].removeprefix(PREFIX))} and {printable(twice[0])}, which "
            "have one name in the table of scans; rename one"
        )


def refuse_bad_overrides(url: str, table: pa.Table) -> None:
    """Refuse values that replace tags and are not numbers."""
    for tag in OVERRIDES:
        if tag not in table.column_names:
            continue
        for row, value in enumerate(table.column(tag).to_pylist(), start=1):
            text = "" if value is None else str(value).strip()
            try:
                if text:
                    override_numbers(tag, text)
            except ScanError as error:
                fault = error.detail.removeprefix("the manifest's ")
                raise ManifestError(
                    f"{url}, row {row}: {fault}, but {printable(repr(text), 60)}; leave it empty where the "
                    "header is right"
                ) from None


def refuse_blank(url: str, name: str, values: pa.ChunkedArray) -> None:
    """Refuse rows without an id or a path."""
    blank = pc.fill_null(pc.equal(values, ""), True)
    if pc.any(blank).as_py():
        rows = pc.indices_nonzero(blank).to_pylist()
        raise ManifestError(f"{url} has no {name} in row {_few([r + 1 for r in rows])}; every row needs one")


def refuse_secrets(url: str, paths: pa.ChunkedArray) -> None:
    """Refuse secrets in paths, since the run's folder keeps the paths."""
    rows = [row for row, path in enumerate(paths.to_pylist(), start=1) if has_secret(path)]
    if rows:
        raise ManifestError(
            f"{url} has a password, token or signature in the path of row {_few(rows)}, and a run keeps its "
            "paths; give credentials by environment or by fsspec's configuration"
        )


def refuse_repeats(url: str, values: pa.ChunkedArray) -> None:
    """Refuse rows that share an id."""
    if pc.count_distinct(values).as_py() == len(values):
        return
    counts = pc.value_counts(values)
    repeated = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    names = _few(printable(value, 60) for value in repeated.to_pylist())
    raise ManifestError(f"{url} repeats scan_id {names}; each must be unique")


def _few(items: Iterable[object], most: int = 3) -> str:
    """List the first items, and the number of the others."""
    listed = list(items)
    rest = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(str(item) for item in listed[:most]) + rest
