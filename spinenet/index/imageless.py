"""Folders without any image: the topmost of each gets a row, so that no folder goes unreported."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from spinenet.index.rows import Row, bare_row


def imageless_rows(fs: Any, root: str, places: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    """Rows for the topmost folders that hold no series at any depth.

    Other files in a folder that holds a series at some depth get no row.

    Parameters
    ----------
    fs
        The fsspec filesystem of the places.
    root
        Root folder of the index.
    places
        Rows of :data:`spinenet.index.catalogue.PLACES`.

    Yields
    ------
    dict
        Rows with ``places`` empty, since a later index makes them anew.
    """
    top = root.rstrip("/")
    with_series: set[str] = set()
    without: dict[str, list[Mapping[str, Any]]] = {}
    all_places = list(places)
    for place in all_places:
        if place["n_series"]:
            with_series.update(_upwards(place["place"], top))
    for place in all_places:
        if place["n_series"] or place["place"] in with_series:
            continue
        *_, highest = (path for path in _upwards(place["place"], top) if path not in with_series)
        without.setdefault(highest, []).append(place)
    for folder, held in sorted(without.items()):
        yield bare_row(fs, folder) | _why(held) | {"places": []}


def _why(held: Iterable[Mapping[str, Any]]) -> Row:
    files, dicom = (sum(place[column] for place in held) for column in ("n_files", "n_dicom"))
    if dicom:
        return {"reason": "not_image", "detail": "the path holds the directory of a disc, and no image"}
    if files:
        detail = f"none of {files} files that were opened in this folder and those below is an image"
        return {"reason": "not_dicom", "detail": detail}
    return {"reason": "no_files", "detail": "the path holds no files"}


def _upwards(path: str, top: str) -> Iterator[str]:
    """A path and the folders above it, up to ``top``."""
    yield path
    while len(path) > len(top) and path.startswith(top):
        path = posixpath.dirname(path)
        yield path
