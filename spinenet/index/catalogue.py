"""The tables of an index: a manifest of every series, and the account of the places that were looked at."""

from __future__ import annotations

import hashlib
import itertools
import posixpath
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import itemgetter
from pathlib import Path

import pyarrow as pa

from spinenet import __version__
from spinenet.cohort.tables import from_parquet, to_parquet
from spinenet.errors import ManifestError, OutputError
from spinenet.index.copied import repeated
from spinenet.index.findings import Findings
from spinenet.index.formats import PARQUET, SUFFIXES, as_file, suffix_of
from spinenet.index.packed import PackedRows
from spinenet.index.rows import Row
from spinenet.index.rules import GRADING, Rules, choose
from spinenet.storage import Store, digest, open_output

_TEXT, _NUMBER, _WHOLE = pa.string(), pa.float64(), pa.int64()

SERIES = pa.schema(
    [
        ("scan_id", _TEXT),
        ("path", _TEXT),
        ("subject_id", _TEXT),
        ("series_uid", _TEXT),
        ("exclude", _TEXT),
        ("usable", pa.bool_()),
        ("reason", _TEXT),
        ("detail", _TEXT),
        ("purpose", _TEXT),
        ("choice", _TEXT),
        ("plane", _TEXT),
        ("sequence", _TEXT),
        ("region", _TEXT),
        ("rows", _WHOLE),
        ("columns", _WHOLE),
        ("slices", _WHOLE),
        ("row_spacing_mm", _NUMBER),
        ("column_spacing_mm", _NUMBER),
        ("slice_spacing_mm", _NUMBER),
        ("field_of_view_height_mm", _NUMBER),
        ("field_of_view_width_mm", _NUMBER),
        ("transfer_syntax", _TEXT),
        ("body_part", _TEXT),
        ("description", _TEXT),
        ("manufacturer", _TEXT),
        ("model", _TEXT),
        ("field_strength", _NUMBER),
        ("n_files", _WHOLE),
        ("bytes", _WHOLE),
        ("series_mark", _TEXT),
    ]
)
"""One row for each series: a manifest, whose ``exclude`` leaves out what was not chosen."""

NUMBERS = frozenset(column.name for column in SERIES if column.type in (_NUMBER, _WHOLE))
"""Columns of numbers."""

PLACES = pa.schema(
    [
        ("place", _TEXT),
        ("stamp", _TEXT),
        ("n_files", _WHOLE),
        ("n_dicom", _WHOLE),
        ("n_series", _WHOLE),
        ("bytes_read", _WHOLE),
        ("scan_ids", pa.list_(_TEXT)),
    ]
)
"""Every place that was looked at, with the stamp by which a change is seen and the series that it holds."""

REPEATED = "duplicate_series"
REPEAT = {
    "usable": False,
    "reason": REPEATED,
    "detail": "the same series lies in another place too, where it is usable",
}
_MADE_WITH = "spinenet_index"
_LETTERS = 12
"""Of the digest in a scan_id."""
_ROWS_AT_ONCE = 1000
"""Of a table, that are objects of Python."""


def choose_all(
    rows: PackedRows, rules: Rules, subject_of: Callable[[str], str], root: str = ""
) -> Iterator[Row]:
    """Name the subjects, mark repeated series, and choose for each subject.

    Parameters
    ----------
    subject_of
        A subject's id by a path, for rows that have none.
    root
        As for :func:`spinenet.index.rules.choose`.

    Yields
    ------
    dict
        Rows of :data:`SERIES` by subject and path, each with a ``scan_id`` of its own.
    """
    keys = sorted(
        (
            row["path"],
            row.get("series_uid") or "",
            position,
            row["usable"] and row.get("series_mark"),
            row.get("subject_id"),
        )
        for position, row in enumerate(rows)
    )
    by_subject: dict[str, list[int]] = defaultdict(list)
    for path, _, position, _, subject in keys:
        by_subject[subject or subject_of(path)].append(position)
    again = repeated((mark, position) for _, _, position, mark, _ in keys if mark)
    del keys
    seen: set[str] = set()
    for subject in sorted(by_subject):
        positions = by_subject.pop(subject)
        found = [
            {**row, "subject_id": subject} | (REPEAT if position in again else {})
            for position, row in zip(positions, rows.at(positions), strict=True)
        ]
        chosen = choose(found, rules, root)
        graded = any(row["purpose"] == GRADING for row in chosen)
        for row in chosen:
            yield _named({**row, "exclude": _excluded(row, graded)}, seen)


def _named(row: Row, seen: set[str]) -> Row:
    """The row with a ``scan_id``: none of those seen, and the same whenever the series lies where it lay."""
    place = f"{row['path']}\n{row.get('series_uid') or ''}".encode()
    mark = hashlib.sha256(place).hexdigest()[:_LETTERS]
    scan_id = wanted = f"{row['subject_id']}_{row.get('sequence') or 'unknown'}_{mark}"
    while scan_id in seen:
        scan_id = f"{wanted}_{sum(one.startswith(wanted) for one in seen) + 1}"
    seen.add(scan_id)
    return {**row, "scan_id": scan_id}


def _excluded(row: Mapping[str, str | None], graded: bool) -> str | None:
    """Why a row is left out; ``graded`` says whether another series of its subject is not."""
    if row["purpose"] == GRADING:
        return None
    if row.get("reason"):
        return f"{row['reason']}: {row['detail']}"
    if graded:
        return "usable, but another series of the subject is graded"
    return "usable, but no rule for grading wants it, nor another series of the subject"


def write_index(url: str, rows: Iterable[Row], places: Iterable[Row], made_with: str) -> None:
    """Write the manifest, and beside it the account of its places; beside one of text, its typed rows too.

    Parameters
    ----------
    made_with
        What tells whether the subjects of another index were named in the same way.

    Raises
    ------
    StorageError
        The storage refused.
    """
    store, name = located(url)
    held: dict[str, list[str]] = defaultdict(list)

    def noted() -> Iterator[Row]:
        for row in rows:
            for place in row["places"]:
                held[place].append(row["scan_id"])
            yield row

    table = _table(noted(), SERIES)
    manifest = as_file(table, name)
    typed = b"" if suffix_of(name) == PARQUET else to_parquet(table)
    account = (
        {**place, "scan_ids": held[place["place"]]} for place in sorted(places, key=itemgetter("place"))
    )
    marked = PLACES.with_metadata({_MADE_WITH: _mark(made_with, manifest + typed)})
    if typed:
        store.write(rows_name(name), typed)
    store.write(places_name(name), to_parquet(_table(account, marked)))
    store.write(name, manifest)


def read_index(url: str, made_with: str) -> Findings:
    """What an earlier index found, before it chose; nothing where there is none made in the same way."""
    store, name = located(url)
    if not store.exists(name) or not store.exists(places_name(name)):
        return Findings()
    manifest, typed = store.read(name), b""
    if suffix_of(name) != PARQUET:
        if not store.exists(rows_name(name)):
            return Findings()
        typed = store.read(rows_name(name))
    try:
        places = from_parquet(store.read(places_name(name)))
    except pa.ArrowInvalid:
        return Findings()
    if (places.schema.metadata or {}).get(_MADE_WITH.encode()) != _mark(made_with, manifest + typed).encode():
        return Findings()
    rows = from_parquet(typed or manifest)
    if not (rows.schema.equals(SERIES) and places.schema.equals(PLACES)):
        return Findings()
    by_place = {row["place"]: row for row in places.to_pylist()}
    lies_in: dict[str, list[str]] = defaultdict(list)
    for place, row in by_place.items():
        for scan_id in row.pop("scan_ids"):
            lies_in[scan_id].append(place)
    # rows of no place are made anew, see spinenet.index.imageless
    known = (row for row in _each(rows) if row["scan_id"] in lies_in)
    found = ({**_as_found(row), "places": lies_in[row["scan_id"]]} for row in known)
    return Findings(PackedRows(found), by_place)


def _table(rows: Iterable[Row], schema: pa.Schema) -> pa.Table:
    left = iter(rows)
    batches = iter(lambda: list(itertools.islice(left, _ROWS_AT_ONCE)), [])
    return pa.Table.from_batches((pa.RecordBatch.from_pylist(batch, schema) for batch in batches), schema)


def _each(table: pa.Table) -> Iterator[Row]:
    for batch in table.to_batches(max_chunksize=_ROWS_AT_ONCE):
        yield from batch.to_pylist()


def _mark(made_with: str, manifest: bytes) -> str:
    """Ties the account to its manifest, to the way it was made, and to the version whose verdicts it has."""
    return f"{__version__} {made_with} {digest(manifest)}"


def _as_found(row: Row) -> Row:
    # what is usable has its reason from the choice, which is made anew
    usable = row["usable"] or row["reason"] == REPEATED
    return {**row, "usable": True, "reason": None, "detail": None} if usable else row


def places_name(name: str) -> str:
    """Name of the account beside a manifest of this name."""
    return name.removesuffix(PARQUET) + ".places" + PARQUET


def rows_name(name: str) -> str:
    """Name of the rows with their types beside a manifest of text of this name."""
    return name + ".rows" + PARQUET


def check_place(url: str) -> None:
    """Raise unless a manifest can be written at ``url``, before hours are spent on what it is to hold.

    Raises
    ------
    ManifestError
        The name is none of a manifest, or of a file that is no index.
    OutputError
        It is a folder, or lies in a place that cannot be written to.
    """
    store, name = located(url)
    if store.local:
        open_output(store.url())
        if Path(store.url(name)).is_dir():
            raise OutputError(f"{store.url(name)} is a folder; name a file in it, such as series.parquet")
    if suffix_of(name) != PARQUET and store.exists(name) and not store.exists(places_name(name)):
        raise ManifestError(f"{store.url(name)} is there and was not written by index; name another file")


def located(url: str) -> tuple[Store, str]:
    """(folder, name in it) of a manifest.

    Raises
    ------
    ManifestError
        The name is none of a manifest.
    """
    whole = Store.at(url)
    folder, name = posixpath.split(whole.root)
    if suffix_of(name) is None:
        endings = ", ".join(SUFFIXES)
        raise ManifestError(
            f"an index is written to a file whose name ends in one of {endings}, not to {url}"
        )
    return Store(whole.fs, folder), name
