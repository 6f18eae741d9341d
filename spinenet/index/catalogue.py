"""The tables of an index: a manifest with every series, and a table of the places that were surveyed."""

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
from spinenet.index.formats import PARQUET, SUFFIXES, as_file, suffix_of
from spinenet.index.inventory import Inventory
from spinenet.index.packed import PackedRows
from spinenet.index.rows import Row
from spinenet.index.rules import GRADING, Rules, choose
from spinenet.index.schema import PLACES, SERIES
from spinenet.storage import Store, digest, open_output

REPEATED = "duplicate_series"
"""Reason code of a series of which a usable copy lies elsewhere."""
REPEAT = {
    "usable": False,
    "reason": REPEATED,
    "detail": "the same series lies in another place too, where it is usable",
}
"""Columns that a repeated series gets."""
_MADE_WITH = "spinenet_index"
"""Key of the table's metadata that ties the places to their manifest."""
_LETTERS = 12
"""Hexadecimal digits of the digest in a scan_id."""
_ROWS_AT_ONCE = 1000
"""Rows converted to or from Python objects at a time, to bound memory."""


def choose_all(
    rows: PackedRows, rules: Rules, subject_of: Callable[[str], str], root: str = ""
) -> Iterator[Row]:
    """Name the subjects, mark repeated series, and choose the series to grade for each subject.

    Parameters
    ----------
    rows
        All series of the index.
    rules
        Rules of the choice.
    subject_of
        Gives a subject's id for a path, for rows without ``subject_id``.
    root
        Root of the index, as for :func:`spinenet.index.rules.choose`.

    Yields
    ------
    dict
        Rows of :data:`SERIES`, ordered by subject and path, each with a unique ``scan_id``.
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
    repeats = repeated((mark, position) for _, _, position, mark, _ in keys if mark)
    del keys
    taken: set[str] = set()
    for subject in sorted(by_subject):
        positions = by_subject.pop(subject)
        of_subject = [
            {**row, "subject_id": subject} | (REPEAT if position in repeats else {})
            for position, row in zip(positions, rows.at(positions), strict=True)
        ]
        chosen = choose(of_subject, rules, root)
        graded = any(row["purpose"] == GRADING for row in chosen)
        for row in chosen:
            yield _named({**row, "exclude": _excluded(row, graded)}, taken)


def _named(row: Row, taken: set[str]) -> Row:
    """The row with a ``scan_id`` that is not taken yet and depends only on where the series lies."""
    place = f"{row['path']}\n{row.get('series_uid') or ''}".encode()
    mark = hashlib.sha256(place).hexdigest()[:_LETTERS]
    scan_id = stem = f"{row['subject_id']}_{row.get('sequence') or 'unknown'}_{mark}"
    while scan_id in taken:
        scan_id = f"{stem}_{sum(other.startswith(stem) for other in taken) + 1}"
    taken.add(scan_id)
    return {**row, "scan_id": scan_id}


def _excluded(row: Mapping[str, str | None], graded: bool) -> str | None:
    """Why a row is excluded; None if it is graded. ``graded``: a series of the same subject is."""
    if row["purpose"] == GRADING:
        return None
    if row.get("reason"):
        return f"{row['reason']}: {row['detail']}"
    if graded:
        return "usable, but another series of the subject is graded"
    return "usable, but no rule for grading wants it, nor another series of the subject"


def write_index(url: str, rows: Iterable[Row], places: Iterable[Row], made_with: str) -> None:
    """Write the manifest and the table of places beside it; beside a text manifest, its typed rows too.

    Parameters
    ----------
    url
        The manifest to write.
    rows
        Rows of :data:`SERIES`, each with the list of its ``places``.
    places
        Rows of :data:`PLACES`, without ``scan_ids``.
    made_with
        Fingerprint of the way subjects are named: an index with another one is not reused.

    Raises
    ------
    StorageError
        The storage refused.
    """
    store, name = located(url)
    scans_in: dict[str, list[str]] = defaultdict(list)

    def rows_noting_places() -> Iterator[Row]:
        for row in rows:
            for place in row["places"]:
                scans_in[place].append(row["scan_id"])
            yield row

    table = _table(rows_noting_places(), SERIES)
    manifest = as_file(table, name)
    typed = b"" if suffix_of(name) == PARQUET else to_parquet(table)
    places_with_scans = (
        {**place, "scan_ids": scans_in[place["place"]]} for place in sorted(places, key=itemgetter("place"))
    )
    schema = PLACES.with_metadata({_MADE_WITH: _mark(made_with, manifest + typed)})
    if typed:
        store.write(rows_name(name), typed)
    store.write(places_name(name), to_parquet(_table(places_with_scans, schema)))
    store.write(name, manifest)


def read_index(url: str, made_with: str) -> Inventory:
    """Inventory of an earlier index before its choice; empty if there is none, or one made otherwise."""
    store, name = located(url)
    if not store.exists(name) or not store.exists(places_name(name)):
        return Inventory()
    manifest, typed = store.read(name), b""
    if suffix_of(name) != PARQUET:
        if not store.exists(rows_name(name)):
            return Inventory()
        typed = store.read(rows_name(name))
    try:
        places = from_parquet(store.read(places_name(name)))
    except pa.ArrowInvalid:
        return Inventory()
    if (places.schema.metadata or {}).get(_MADE_WITH.encode()) != _mark(made_with, manifest + typed).encode():
        return Inventory()
    rows = from_parquet(typed or manifest)
    if not (rows.schema.equals(SERIES) and places.schema.equals(PLACES)):
        return Inventory()
    by_place = {row["place"]: row for row in places.to_pylist()}
    places_of: dict[str, list[str]] = defaultdict(list)
    for place, row in by_place.items():
        for scan_id in row.pop("scan_ids"):
            places_of[scan_id].append(place)
    # rows without a place (folders without images) are made anew, see spinenet.index.imageless
    kept = (row for row in _rows_of(rows) if row["scan_id"] in places_of)
    undecided = ({**_before_choice(row), "places": places_of[row["scan_id"]]} for row in kept)
    return Inventory(PackedRows(undecided), by_place)


def _table(rows: Iterable[Row], schema: pa.Schema) -> pa.Table:
    remaining = iter(rows)
    batches = iter(lambda: list(itertools.islice(remaining, _ROWS_AT_ONCE)), [])
    return pa.Table.from_batches((pa.RecordBatch.from_pylist(batch, schema) for batch in batches), schema)


def _rows_of(table: pa.Table) -> Iterator[Row]:
    for batch in table.to_batches(max_chunksize=_ROWS_AT_ONCE):
        yield from batch.to_pylist()


def _mark(made_with: str, manifest: bytes) -> str:
    """Mark that ties the places to the bytes of their manifest, to ``made_with`` and to this version."""
    return f"{__version__} {made_with} {digest(manifest)}"


def _before_choice(row: Row) -> Row:
    # the reason of a usable series comes from the choice, which is made again
    usable = row["usable"] or row["reason"] == REPEATED
    return {**row, "usable": True, "reason": None, "detail": None} if usable else row


def places_name(name: str) -> str:
    """File name of the table of places beside a manifest called ``name``."""
    return name.removesuffix(PARQUET) + ".places" + PARQUET


def rows_name(name: str) -> str:
    """File name of the typed rows beside a text manifest called ``name``."""
    return name + ".rows" + PARQUET


def check_place(url: str) -> None:
    """Raise unless a manifest can be written at ``url``, before hours are spent on making it.

    Raises
    ------
    ManifestError
        The name has no ending of a manifest, or the file exists and is not an index.
    OutputError
        The path is a folder, or its folder is not writable.
    """
    store, name = located(url)
    if store.local:
        open_output(store.url())
        if Path(store.url(name)).is_dir():
            raise OutputError(f"{store.url(name)} is a folder; name a file in it, such as series.parquet")
    if suffix_of(name) != PARQUET and store.exists(name) and not store.exists(places_name(name)):
        raise ManifestError(f"{store.url(name)} is there and was not written by index; name another file")


def located(url: str) -> tuple[Store, str]:
    """Split the URL of a manifest into its folder's store and its file name.

    Raises
    ------
    ManifestError
        The name has no ending of a manifest.
    """
    whole = Store.at(url)
    folder, name = posixpath.split(whole.root)
    if suffix_of(name) is None:
        endings = ", ".join(SUFFIXES)
        raise ManifestError(
            f"an index is written to a file whose name ends in one of {endings}, not to {url}"
        )
    return Store(whole.fs, folder), name
