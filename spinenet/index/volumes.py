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
from spinenet.readers.metaimage import MAX_HEADER, is_metaimage, metaimage_grid
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
    row = bare_row(fs, place.path) | {
        "sequence": sequence_named(place.path),
        "n_files": 1,
        "bytes": place.files[place.path],
    }
    try:
        grid = volume_grid(fs, place, count)
    except ScanError as error:
        return row | because(error)
    row |= grid_row(grid) | {"plane": "sagittal"}
    return row | _sidecar(fs, place, row["sequence"], count)


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
    if is_metaimage(place.path):
        return metaimage_grid(head)
    if head.startswith(GZIP_MAGIC):
        return nifti_grid(gunzipped_head(head, MAX_HEADER))
    return nifti_grid(head, place.files[place.path])


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
