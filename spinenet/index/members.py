"""Opens what a place holds, one file after the other: files in a folder, members of an archive."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from io import BytesIO
from typing import Any

from spinenet.errors import ScanError
from spinenet.index.heads import MAX_HEAD, Counted, Readable
from spinenet.index.places import OTHER, Place
from spinenet.readers.archives import points_outside
from spinenet.readers.limits import MAX_FILES

Member = tuple[str, int, Readable]
"""Name, size in bytes, and the file at its start; open until the next member is asked for."""


def open_members(fs: Any, place: Place, count: Callable[[int], None]) -> Iterator[Member]:
    """Open a folder's or an archive's files in turn.

    Parameters
    ----------
    fs
        The fsspec filesystem of the place.
    count
        Told how many bytes were read from storage, file by file.

    Raises
    ------
    ScanError
        unreadable or too_large, for an archive.
    OSError
        What the filesystem raises.
    """
    if place.kind != "archive":
        for name, size in place.files.items():
            with fs.open(name, "rb", **_buffering(fs)) as file:
                counted = Counted(file)
                yield name, size, counted
                count(counted.bytes_read)
        return
    with fs.open(place.path, "rb") as file:
        counted = Counted(file)
        opened = _zip_members if place.path.lower().endswith(".zip") else _tar_members
        try:
            yield from opened(counted)
        except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError) as error:
            raise ScanError("unreadable", f"the archive is broken ({type(error).__name__})") from None
        finally:
            count(counted.bytes_read)


def _buffering(fs: Any) -> dict[str, Any]:
    """Local files unbuffered, so that what is asked for is all that is read; others in small blocks."""
    return {} if "file" in fs.protocol else {"block_size": 1 << 16}


def _zip_members(file: Counted) -> Iterator[Member]:
    with zipfile.ZipFile(file) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        _check_count(len(members))
        for member in members:
            _check_path(member.filename)
            if member.flag_bits & 1:
                raise ScanError("unreadable", "the archive is encrypted")
            if not member.filename.lower().endswith(OTHER):
                with archive.open(member) as opened:
                    yield member.filename, member.file_size, opened


def _tar_members(file: Counted) -> Iterator[Member]:
    with tarfile.open(fileobj=file, mode="r:*") as archive:  # type: ignore[call-overload]
        packed = not isinstance(archive.fileobj, Counted)
        for index, member in enumerate(archive):
            _check_count(index)
            if not member.isfile():
                continue
            _check_path(member.name)
            opened = None if member.name.lower().endswith(OTHER) else archive.extractfile(member)
            if opened is not None:
                with closing(opened):
                    # a packed archive cannot go back but by starting again
                    yield member.name, member.size, BytesIO(opened.read(MAX_HEAD)) if packed else opened


def _check_count(files: int) -> None:
    if files > MAX_FILES:
        raise ScanError("too_large", f"the archive holds more than {MAX_FILES} files")


def _check_path(name: str) -> None:
    if points_outside(name):
        raise ScanError("unreadable", "a member of the archive has a path outside the archive")
