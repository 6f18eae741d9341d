"""The tables of an index: a manifest of every series, and the account of the places that were looked at."""

from __future__ import annotations

import hashlib
import posixpath
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from spinenet.cohort.tables import from_parquet, to_parquet
from spinenet.errors import ManifestError
from spinenet.index.places import Place
from spinenet.index.rules import DETECTION, GRADING, Row, Rules, choose
from spinenet.index.survey import Survey
from spinenet.storage import Store

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
        ("places", pa.list_(_TEXT)),
    ]
)
"""One row for each series: a manifest, whose ``exclude`` leaves out what was not chosen."""

PLACES = pa.schema(
    [
        ("place", _TEXT),
        ("stamp", _TEXT),
        ("n_files", _WHOLE),
        ("n_dicom", _WHOLE),
        ("n_series", _WHOLE),
        ("bytes_read", _WHOLE),
    ]
)
"""Every place that was looked at, with the stamp by which a change is seen."""

REPEATED = "duplicate_series"
_PARTIAL = {"too_few_slices", "missing_slices"}
"""Reasons of a series of which a part lies elsewhere."""
SUFFIX = ".parquet"
_MADE_WITH = "spinenet_index"


@dataclass
class Findings:
    """What is known of a root, from surveys made now and from an earlier index.

    Attributes
    ----------
    rows
        Of :data:`SERIES`, before anything is chosen.
    places
        Of :data:`PLACES`, by place.
    """

    rows: list[Row] = field(default_factory=list)
    places: dict[str, Row] = field(default_factory=dict)

    def add(self, found: Survey) -> None:
        """Take in a survey."""
        self.rows += [{**row, "places": [found.place.path]} for row in found.rows]
        self.places[found.place.path] = {
            "place": found.place.path,
            "stamp": found.place.stamp,
            "n_files": found.n_files,
            "n_dicom": found.n_dicom,
            "n_series": len(found.rows),
            "bytes_read": found.bytes_read,
        }

    def knows(self, place: Place) -> bool:
        """Whether a place is as it was when it was looked at."""
        return bool(self.places.get(place.path, {}).get("stamp") == place.stamp)

    def keep(self, earlier: Findings, unchanged: Iterable[str]) -> None:
        """Take over what an earlier index says of places that have not changed.

        A series that was put together from several folders is kept only if none of them has changed;
        else its unchanged folders count as holding a part of it, for :func:`scattered` to find.
        """
        known = set(unchanged)
        self.places |= {name: {**earlier.places[name], "bytes_read": 0} for name in known}
        for row in earlier.rows:
            places = known.intersection(row["places"])
            if len(places) == len(row["places"]):
                self.rows.append(row)
            elif places:
                self.rows += [{**row, "usable": False, "places": [name]} for name in sorted(places)]

    def replace(self, uids: Container[str], rows: Iterable[Row]) -> None:
        """Put rows made of several folders in the place of those of each."""
        joined = [row for row in rows if row.get("series_uid") in uids]
        self.rows = [row for row in self.rows if row.get("series_uid") not in uids] + joined


def scattered(rows: Iterable[Row]) -> dict[str, tuple[str, ...]]:
    """Series whose files lie in several folders, none of which holds a usable stack: UID to the folders."""
    by_uid: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.get("series_uid"):
            by_uid[row["series_uid"]].append(row)
    return {
        uid: tuple(sorted({place for row in several for place in row["places"]}))
        for uid, several in by_uid.items()
        if len({place for row in several for place in row["places"]}) > 1
        and not any(row["usable"] for row in several)
        and {row["reason"] for row in several} & _PARTIAL
    }


def choose_all(rows: Iterable[Row], rules: Rules, subject_of: Callable[[str], str]) -> list[Row]:
    """Name the subjects, mark repeated series, and choose for each subject.

    Parameters
    ----------
    subject_of
        A subject's id by a path, for rows that have none.

    Returns
    -------
    list of dict
        Rows of :data:`SERIES` by subject and path, each with a ``scan_id`` of its own.
    """
    by_subject: dict[str, list[Row]] = defaultdict(list)
    for row in _without_repeats(rows):
        subject = row.get("subject_id") or subject_of(row["path"])
        by_subject[subject].append({**row, "subject_id": subject})
    chosen = [row for subject in sorted(by_subject) for row in choose(by_subject[subject], rules)]
    return [{**row, "scan_id": _scan_id(row), "exclude": _excluded(row)} for row in chosen]


def _without_repeats(rows: Iterable[Row]) -> Iterator[Row]:
    """A series that is usable in several places counts once, where its path is first."""
    seen: set[str] = set()
    for row in sorted(rows, key=lambda row: (row["path"], row.get("series_uid") or "")):
        uid = row.get("series_uid")
        if row["usable"] and uid in seen:
            detail = "the same series lies in another place too, where it is usable"
            yield {**row, "usable": False, "reason": REPEATED, "detail": detail}
            continue
        if row["usable"] and uid:
            seen.add(uid)
        yield row


def _scan_id(row: Mapping[str, str | None]) -> str:
    """Unique, and the same whenever the series lies where it lay."""
    mark = hashlib.sha256(f"{row['path']}\n{row.get('series_uid') or ''}".encode()).hexdigest()[:10]
    return f"{row['subject_id']}_{row.get('sequence') or 'unknown'}_{mark}"


def _excluded(row: Mapping[str, str | None]) -> str | None:
    if row["purpose"] == GRADING:
        return None
    if row["purpose"] == DETECTION:
        return "usable, but another series is graded"
    return f"{row['reason']}: {row['detail']}" if row.get("reason") else "no rule wants it"


def write_index(url: str, rows: Iterable[Row], places: Iterable[Row], made_with: str) -> None:
    """Write the manifest, and beside it ``<name>.places.parquet``.

    Parameters
    ----------
    made_with
        What tells whether the subjects of another index were named in the same way.

    Raises
    ------
    StorageError
        The storage refused.
    """
    store, name = _at(url)
    account = pa.Table.from_pylist(list(places), schema=PLACES.with_metadata({_MADE_WITH: made_with}))
    store.write(places_name(name), to_parquet(account))
    store.write(name, to_parquet(pa.Table.from_pylist(list(rows), schema=SERIES)))


def read_index(url: str, made_with: str) -> Findings:
    """What an earlier index found, before it chose; nothing where there is none made in the same way."""
    store, name = _at(url)
    if not store.exists(name) or not store.exists(places_name(name)):
        return Findings()
    places = from_parquet(store.read(places_name(name)))
    rows = from_parquet(store.read(name))
    made_so = (places.schema.metadata or {}).get(_MADE_WITH.encode()) == made_with.encode()
    if not (made_so and places.schema.equals(PLACES) and rows.schema.equals(SERIES)):
        return Findings()
    return Findings(
        [_as_found(row) for row in rows.to_pylist()], {row["place"]: row for row in places.to_pylist()}
    )


def _as_found(row: Row) -> Row:
    usable = row["usable"] or row["reason"] == REPEATED
    return {**row, "usable": True, "reason": None, "detail": None} if usable else row


def places_name(name: str) -> str:
    """Name of the account beside a manifest of this name."""
    return name.removesuffix(SUFFIX) + ".places" + SUFFIX


def _at(url: str) -> tuple[Store, str]:
    folder, name = posixpath.split(url)
    if not name.endswith(SUFFIX) or name == SUFFIX:
        raise ManifestError(f"an index is written to a file whose name ends in {SUFFIX}, not to {url}")
    return Store.at(folder or "."), name
