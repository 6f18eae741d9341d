"""What is known of a root: rows of series and the places that they lie in, gathered survey by survey."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from spinenet.index.packed import PackedRows
from spinenet.index.places import Place, find_places, joined
from spinenet.index.rows import Row
from spinenet.index.survey import Survey
from spinenet.readers.sources.files import ARCHIVES
from spinenet.readers.volumes.images import VOLUMES

_PARTIAL = {"too_few_slices", "missing_slices"}
"""Reasons of a series of which a part lies elsewhere."""


@dataclass
class Findings:
    """What is known of a root, from surveys made now and from an earlier index.

    Attributes
    ----------
    rows
        Of :data:`spinenet.index.catalogue.SERIES`, before anything is chosen; each with the list of its
        ``places``.
    places
        Of :data:`spinenet.index.catalogue.PLACES`, by place.
    """

    rows: PackedRows = field(default_factory=PackedRows)
    places: dict[str, Row] = field(default_factory=dict)

    def add(self, found: Survey) -> None:
        """Take in a survey."""
        self.rows.extend({**row, "places": [found.place.path]} for row in found.rows)
        self.places[found.place.path] = {
            "place": found.place.path,
            "stamp": found.place.stamp if found.settled else "",
            "n_files": found.n_files,
            "n_dicom": found.n_dicom,
            "n_series": len(found.rows),
            "bytes_read": found.bytes_read,
        }

    def knows(self, place: Place) -> bool:
        """Whether a place is as it was when it was looked at."""
        return bool(place.stamp) and self.places.get(place.path, {}).get("stamp") == place.stamp

    def bereft(self, unchanged: Collection[str]) -> set[str]:
        """Those of the unchanged places that share a series with one that has changed or is gone."""
        known = set(unchanged)
        shared = [set(row["places"]) for row in self.rows if len(row["places"]) > 1]
        while lost := [places & known for places in shared if places & known and not places <= known]:
            known = known.difference(*lost)
        return set(unchanged) - known

    def keep(self, earlier: Findings, unchanged: Collection[str]) -> None:
        """Take over what an earlier index says of places that have not changed, none of them bereft."""
        known = set(unchanged)
        self.places |= {name: {**earlier.places[name], "bytes_read": 0} for name in known}
        self.rows.extend(row for row in earlier.rows if known.issuperset(row["places"]))

    def over(self, earlier: Findings) -> Findings:
        """These findings, and what an earlier index says of all other places.

        A place that shares a series with one of these is left out: neither index knows all of the series.
        """
        together = Findings(self.rows.copy(), dict(self.places))
        others = earlier.places.keys() - self.places.keys()
        together.keep(earlier, others - earlier.bereft(others))
        return together

    def replace(self, uids: Collection[str], folders: Collection[str], rows: Iterable[Row]) -> None:
        """Put the rows of series that were read from several folders in the place of those of each."""
        joined = [{**row, "places": list(folders)} for row in rows if row.get("series_uid") in uids]
        read = {row["series_uid"] for row in joined}
        others = (
            row
            for row in self.rows
            if row.get("series_uid") not in read or not set(row["places"]) <= set(folders)
        )
        self.rows = PackedRows([*others, *joined])


def to_look_at(fs: Any, root: str, earlier: Findings, unchanged: set[str]) -> Iterator[Place]:
    """Places below a root of which an earlier index does not say what they hold now.

    Parameters
    ----------
    unchanged
        Gets, by the end, the paths of all other places.
    """
    for place in find_places(fs, root):
        if earlier.knows(place):
            unchanged.add(place.path)
        else:
            yield place
    bereft = earlier.bereft(unchanged)
    unchanged -= bereft
    yield from (joined(fs, [folder]) for folder in sorted(bereft))


def scattered(rows: Iterable[Row]) -> dict[tuple[str, ...], set[str]]:
    """Series whose files lie in several folders, none of which holds a usable stack: folders to UIDs."""
    by_uid: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.get("series_uid") and not any(map(_is_file, row["places"])):
            by_uid[row["series_uid"]].append(row)
    by_folders: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for uid, several in by_uid.items():
        whole = any(row["usable"] and len(row["places"]) == 1 for row in several)
        if len(several) > 1 and not whole and {row["reason"] for row in several} & _PARTIAL:
            by_folders[tuple(sorted({place for row in several for place in row["places"]}))].add(uid)
    return dict(by_folders)


def _is_file(place: str) -> bool:
    return place.lower().endswith(ARCHIVES + VOLUMES)
