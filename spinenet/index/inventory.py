"""The inventory of a root: rows of series and the places they lie in, added survey by survey."""

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
"""Reason codes of a series whose other slices may lie in another folder."""


@dataclass
class Inventory:
    """Series and places below a root, from surveys of this index and from an earlier one.

    Attributes
    ----------
    rows
        Rows of :data:`spinenet.index.catalogue.SERIES` before the choice, each with the list of its
        ``places``.
    places
        Rows of :data:`spinenet.index.catalogue.PLACES`, by the place's path.
    """

    rows: PackedRows = field(default_factory=PackedRows)
    places: dict[str, Row] = field(default_factory=dict)

    def add(self, survey: Survey) -> None:
        """Add the series and the place of a survey."""
        self.rows.extend({**row, "places": [survey.place.path]} for row in survey.rows)
        self.places[survey.place.path] = {
            "place": survey.place.path,
            "stamp": survey.place.stamp if survey.settled else "",
            "n_files": survey.n_files,
            "n_dicom": survey.n_dicom,
            "n_series": len(survey.rows),
            "bytes_read": survey.bytes_read,
        }

    def is_unchanged(self, place: Place) -> bool:
        """Whether a place has the stamp with which it was surveyed."""
        return bool(place.stamp) and self.places.get(place.path, {}).get("stamp") == place.stamp

    def affected(self, unchanged: Collection[str]) -> set[str]:
        """The unchanged places that share a series with a place that has changed or is gone."""
        kept = set(unchanged)
        shared = [set(row["places"]) for row in self.rows if len(row["places"]) > 1]
        while lost := [places & kept for places in shared if places & kept and not places <= kept]:
            kept = kept.difference(*lost)
        return set(unchanged) - kept

    def keep(self, earlier: Inventory, unchanged: Collection[str]) -> None:
        """Copy rows of unchanged places from an earlier index; none of the places may be affected."""
        kept = set(unchanged)
        self.places |= {name: {**earlier.places[name], "bytes_read": 0} for name in kept}
        self.rows.extend(row for row in earlier.rows if kept.issuperset(row["places"]))

    def over(self, earlier: Inventory) -> Inventory:
        """Merge this inventory with an earlier index's rows of all other places.

        An earlier place that shares a series with one of this inventory is left out, as neither of the
        two has the whole series.
        """
        merged = Inventory(self.rows.copy(), dict(self.places))
        others = earlier.places.keys() - self.places.keys()
        merged.keep(earlier, others - earlier.affected(others))
        return merged

    def replace(self, uids: Collection[str], folders: Collection[str], rows: Iterable[Row]) -> None:
        """Replace the rows that each folder has of a series by the row read from all its folders together."""
        whole = [{**row, "places": list(folders)} for row in rows if row.get("series_uid") in uids]
        replaced = {row["series_uid"] for row in whole}
        others = (
            row
            for row in self.rows
            if row.get("series_uid") not in replaced or not set(row["places"]) <= set(folders)
        )
        self.rows = PackedRows([*others, *whole])


def places_to_survey(fs: Any, root: str, earlier: Inventory, unchanged: set[str]) -> Iterator[Place]:
    """Places below a root that are new, have changed, or share a series with one that has.

    Parameters
    ----------
    fs
        An fsspec filesystem.
    root
        Folder or file to walk.
    earlier
        Inventory of an earlier index.
    unchanged
        Output: holds the paths of all other places once the iterator is exhausted.
    """
    for place in find_places(fs, root):
        if earlier.is_unchanged(place):
            unchanged.add(place.path)
        else:
            yield place
    affected = earlier.affected(unchanged)
    unchanged -= affected
    yield from (joined(fs, [folder]) for folder in sorted(affected))


def scattered(rows: Iterable[Row]) -> dict[tuple[str, ...], set[str]]:
    """UIDs, by folders, of series whose files lie in several folders of which none has a usable stack."""
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
