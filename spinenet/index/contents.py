"""The kind of a single file by its content, whatever its name: archive, volume or DICOM."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from spinenet.errors import ScanError
from spinenet.index.members import open_file
from spinenet.index.places import ARCHIVE, FOLDER, VOLUME, Place
from spinenet.readers.sources.archives import HEAD, ends_as_zip, is_archive
from spinenet.readers.sources.files import is_archive_name
from spinenet.readers.sources.formats import unread_format, unsupported
from spinenet.readers.sources.packing import MAGIC, is_packed, unpacked
from spinenet.readers.sources.part10 import is_dicom
from spinenet.readers.volumes.images import is_image
from spinenet.readers.volumes.nifti import pair_of


def by_content(fs: Any, place: Place) -> Place:
    """Set the kind of a single file's place to that which reading its path assumes.

    Parameters
    ----------
    fs
        The fsspec filesystem of the place.
    place
        Place of a file and the files that belong to it.

    Raises
    ------
    ScanError
        unsupported_format or unreadable, as :func:`spinenet.readers.series.read_scan`.
    """
    name = place.path
    with open_file(fs, name) as file:
        head = file.read(HEAD)
        if is_packed(head[:MAGIC]):
            head = unpacked(head + file.read())[:HEAD]
        if is_image(name):
            return replace(place, kind=FOLDER if is_dicom(head) else VOLUME)
        if is_archive(head):
            return replace(place, kind=ARCHIVE)
        if is_dicom(head):
            return replace(place, kind=FOLDER)
        if ends_as_zip(file, place.files[name]):
            return replace(place, kind=ARCHIVE)
    header = pair_of(name)
    if header is not None and fs.exists(header):
        files = {header: int(fs.info(header)["size"]), **place.files}
        return replace(place, path=header, kind=VOLUME, files=files)
    unread = unread_format(name, head)
    if unread is not None:
        raise unsupported(unread)
    if is_archive_name(name):
        raise ScanError("unreadable", "the file is named as an archive and is none that can be read")
    return replace(place, kind=FOLDER)
