"""Folders without any image: each topmost one has a row, so that nothing is passed over in silence."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from spinenet.index.rows import Row, bare_row


def imageless_rows(fs: Any, root: str, places: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    """A row for each folder below and in which no place has a series, and whose own folder has one in it.

    Files that are no image beside images, or in a folder above some, have no row.

    Parameters
    ----------
    fs
        The fsspec filesystem of the places.
    root
        Of the index, which is the topmost folder.
    places
        Of :data:`spinenet.index.catalogue.PLACES`.

    Yields
    ------
    dict
        With ``places`` empty: a later index makes such rows anew.
    """
    top = root.rstrip("/")
    with_series: set[str] = set()
    without: dict[str, list[Mapping[str, Any]]] = {}
    every = list(places)
    for place in every:
        if place["n_series"]:
            with_series.update(_upwards(place["place"], top))
    for place in every:
        if place["n_series"] or place["place"] in with_series:
            continue
        *_, highest = (path for path in _upwards(place["place"], top) if path not in with_series)
        without.setdefault(highest, []).append(place)
    for folder, held in sorted(without.items()):
        yield bare_row(fs, folder) | _why(held) | {"places": []}


def _why(held: Iterable[Mapping[str, Any]]) -> Row:
    files, dicom = (sum(place[what] for place in held) for what in ("n_files", "n_dicom"))
    if dicom:
        return {"reason": "not_image", "detail": "the path holds the directory of a disc, and no image"}
    if files:
        told = f"none of {files} files that were opened in this folder and those below is an image"
        return {"reason": "not_dicom", "detail": told}
    return {"reason": "no_files", "detail": "the path holds no files"}


def _upwards(path: str, top: str) -> Iterator[str]:
    """A path and the folders around it, up to the topmost."""
    yield path
    while len(path) > len(top) and path.startswith(top):
        path = posixpath.dirname(path)
        yield path
