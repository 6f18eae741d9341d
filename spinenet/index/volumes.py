"""Makes the row of a NIfTI or MetaImage file from its header and its JSON sidecars."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from spinenet.errors import ScanError
from spinenet.index.members import open_file
from spinenet.index.places import Place
from spinenet.index.rows import Row, bare_row, grid_row, reason_row
from spinenet.readers.sources.limits import GZIP_MAGIC, gunzipped_head
from spinenet.readers.space.orientation import Grid
from spinenet.readers.volumes.assembly import sequence_and_facts, sequence_named
from spinenet.readers.volumes.images import read_image, voxels_of
from spinenet.readers.volumes.labels import check_name
from spinenet.readers.volumes.metaimage import MAX_HEADER, is_metaimage, may_be_a_label_map_of, metaimage_grid
from spinenet.readers.volumes.nifti import may_be_a_label_map, nifti_grid, pair_of
from spinenet.readers.volumes.sidecars import parse_sidecars, sidecar_names

FACTS = ("manufacturer", "model", "field_strength", "body_part", "description")
"""Columns that are copied from a header or sidecar."""

Contents = Callable[[], Mapping[str, bytes]]
"""Function that reads an image's files: bytes by name."""


def volume_row(fs: Any, place: Place, count: Callable[[int], None]) -> Row:
    """The row of a NIfTI or MetaImage file.

    Parameters
    ----------
    fs
        The fsspec filesystem of the place.
    place
        The file, and the JSON files and voxels that belong to it.
    count
        Called with the number of bytes read from storage, file by file.
    """

    def grid() -> Grid:
        check_name(place.path)
        return volume_grid(fs, place, count)

    sidecars = [fetched(fs, name, count) for name in sidecar_names(place.path) if name in place.files]
    return bare_row(fs, place.path) | image_row(place.path, place.files[place.path], sidecars, grid)


def image_row(name: str, size: int, sidecars: list[bytes], grid: Callable[[], Grid]) -> Row:
    """The columns of an image's row, but for its path.

    Parameters
    ----------
    name
        Name of the image's file.
    size
        Its size in bytes.
    sidecars
        Bytes of its JSON sidecars; later ones override earlier ones.
    grid
        Function that reads the grid, or raises ScanError.
    """
    row: Row = {"sequence": sequence_named(name), "n_files": 1, "bytes": size}
    try:
        columns = grid_row(grid()) | {"plane": "sagittal"}
        sequence, facts = sequence_and_facts(parse_sidecars(sidecars), name)
    except ScanError as error:
        return row | reason_row(error)
    return row | columns | {"sequence": sequence} | {fact: facts.get(fact) for fact in FACTS}


def fetched(fs: Any, name: str, count: Callable[[int], None]) -> bytes:
    """Read a whole file and count its bytes."""
    data = bytes(fs.cat_file(name))
    count(len(data))
    return data


def volume_grid(fs: Any, place: Place, count: Callable[[int], None]) -> Grid:
    """Read the grid of an image from its file's first bytes; parameters as :func:`volume_row`.

    Raises
    ------
    ScanError
        As the format's reader, except for faults that only the voxels show.
    """
    with open_file(fs, place.path) as file:
        head = file.read(MAX_HEADER)
    count(len(head))
    size = place.files[place.path]
    voxels: list[str] = []

    def size_of(name: str) -> int | None:
        voxels.append(name)
        return _size(fs, name)

    def contents() -> Mapping[str, bytes]:
        return {name: fetched(fs, name, count) for name in (place.path, *voxels)}

    return grid_from_head(place.path, head, size, size_of, contents)


def grid_from_head(
    name: str, head: bytes, size: int, size_of: Callable[[str], int | None], contents: Contents
) -> Grid:
    """The grid of an image, from the first bytes of its file.

    Parameters
    ----------
    name
        Name of the file, with its folder.
    head
        The file's first :data:`spinenet.readers.volumes.metaimage.MAX_HEADER` bytes.
    size
        Size of the file in bytes.
    size_of
        Function that gives the size in bytes of another file; None where it does not exist.
    contents
        Function that reads the files, called where only the voxels show whether the image is a label map.

    Raises
    ------
    ScanError
        As :func:`volume_grid`.
    """
    voxels = voxels_of(name, head)
    held = size if voxels is None else size_of(voxels)
    if held is None:
        raise ScanError("no_pixels", "the file of voxels that belongs to the header is not there")
    if is_metaimage(name):
        grid = metaimage_grid(head, held)
        suspected = may_be_a_label_map_of(head, held)
    else:
        packed = (voxels or name).lower().endswith(".gz") if voxels else head.startswith(GZIP_MAGIC)
        header = gunzipped_head(head, MAX_HEADER) if head.startswith(GZIP_MAGIC) else head
        paired = pair_of(name) is not None
        grid = nifti_grid(header, None if packed else held, paired=paired)
        suspected = may_be_a_label_map(header, held + (size if voxels else 0), paired=paired)
    if suspected:
        # the reader raises if the image is a label map
        read_image(name, contents())
    return grid


def _size(fs: Any, name: str) -> int | None:
    try:
        return int(fs.info(name)["size"])
    except FileNotFoundError:
        return None
