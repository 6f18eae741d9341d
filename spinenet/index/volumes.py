"""A NIfTI or MetaImage file becomes a row, by its header and the JSON file beside it."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable
from typing import Any

from spinenet.errors import ScanError
from spinenet.index.members import open_file
from spinenet.index.places import Place, sidecar_of
from spinenet.index.rows import Row, bare_row, because, grid_row
from spinenet.readers.facts import sequence_of
from spinenet.readers.limits import GZIP_MAGIC, gunzipped_head
from spinenet.readers.metaimage import MAX_HEADER, data_file, is_metaimage, metaimage_grid
from spinenet.readers.nifti import nifti_grid
from spinenet.readers.orientation import Grid
from spinenet.readers.volumes import sequence_named


def volume_row(fs: Any, place: Place, count: Callable[[int], None]) -> Row:
    """The row of a NIfTI or MetaImage file.

    Parameters
    ----------
    fs
        The fsspec filesystem of the place.
    place
        The file, and the JSON file that lies beside it, if there is one.
    count
        Told how many bytes were read from storage, file by file.
    """
    row = bare_row(fs, place.path) | image_row(
        place.path, place.files[place.path], lambda: volume_grid(fs, place, count)
    )
    return row | _sidecar(fs, place, row["sequence"], count) if row["usable"] else row


def image_row(name: str, size: int, grid: Callable[[], Grid]) -> Row:
    """What a row says of an image.

    Parameters
    ----------
    name, size
        Of the file; the size in bytes.
    grid
        Finds the grid, or raises ScanError.
    """
    row: Row = {"sequence": sequence_named(name), "n_files": 1, "bytes": size}
    try:
        return row | grid_row(grid()) | {"plane": "sagittal"}
    except ScanError as error:
        return row | because(error)


def volume_grid(fs: Any, place: Place, count: Callable[[int], None]) -> Grid:
    """The grid of a file, from its first bytes; parameters as :func:`volume_row`.

    Raises
    ------
    ScanError
        As the format's reader, but for what only the voxels can show.
    """
    with open_file(fs, place.path) as file:
        head = file.read(MAX_HEADER)
    count(len(head))
    return grid_told(place.path, head, place.files[place.path], lambda name: _size(fs, name))


def grid_told(name: str, head: bytes, size: int, size_of: Callable[[str], int | None]) -> Grid:
    """The grid of a file, by what was read of it.

    Parameters
    ----------
    name
        Of the file, with its folder.
    head
        Its first :data:`spinenet.readers.metaimage.MAX_HEADER` bytes.
    size
        Its bytes.
    size_of
        Says the bytes of another file; None where there is none of the name.

    Raises
    ------
    ScanError
        As :func:`volume_grid`.
    """
    if is_metaimage(name):
        voxels = data_file(head)
        held = size if voxels is None else size_of(posixpath.join(posixpath.dirname(name), voxels))
        if held is None:
            raise ScanError("no_pixels", "the file of voxels that the header names is not there")
        return metaimage_grid(head, held)
    if head.startswith(GZIP_MAGIC):
        return nifti_grid(gunzipped_head(head, MAX_HEADER))
    return nifti_grid(head, size)


def _size(fs: Any, name: str) -> int | None:
    try:
        return int(fs.info(name)["size"])
    except FileNotFoundError:
        return None


def _sidecar(fs: Any, place: Place, named: str, count: Callable[[int], None]) -> Row:
    """What the JSON file that BIDS puts beside an image says of the contrast; its times are in seconds."""
    name = sidecar_of(place.path)
    if name not in place.files:
        return {}
    data = fs.cat_file(name)
    count(len(data))
    try:
        said = json.loads(data)
        echo, repetition, inversion = (
            1000.0 * float(said[key]) if key in said else None
            for key in ("EchoTime", "RepetitionTime", "InversionTime")
        )
    except (ValueError, TypeError):
        return {}
    words = posixpath.basename(place.path).replace("_", " ")
    contrast = sequence_of(echo, repetition, inversion, description=words)
    return {"sequence": contrast if contrast != "other" else named}
