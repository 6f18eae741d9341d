"""Opens what a place holds, one file after the other: files in a folder, members of an archive."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from fsspec.implementations.local import LocalFileSystem

from spinenet.index.heads import MAX_HEAD, Counted, Readable
from spinenet.index.places import OTHER, VOXELS, Place
from spinenet.readers.archives import ZIP_MAGIC, ArchiveMember, tar_members, zip_members
from spinenet.readers.limits import GZIP_MAGIC, check_total
from spinenet.readers.part10 import as_part10

_BLOCK = 1 << 16
"""Bytes that are fetched at once from storage that is no local disk."""

_AT_ONCE = 1 << 24
"""Bytes of a whole file that are read at once."""

_PASSED_OVER = tuple(ending for ending in OTHER if ending not in VOXELS)
"""Endings of members that are not opened."""

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
        unreadable, unsafe_archive or too_large, for an archive.
    Exception
        What the filesystem and the archive's format raise, also while a member is read.
    """
    if place.kind != "archive":
        for name, size in place.files.items():
            with open_file(fs, name) as file:
                counted = Counted(file)
                yield name, size, counted
                count(counted.bytes_read)
        return
    with open_file(fs, place.path) as file:
        counted = Counted(file)
        zipped = counted.read(len(ZIP_MAGIC)) == ZIP_MAGIC or place.path.lower().endswith(".zip")
        counted.seek(0)
        try:
            for name, size, opened in (zip_members if zipped else _tar_members)(counted):
                if not name.lower().endswith(_PASSED_OVER):
                    with opened() as member:
                        yield name, size, member
        finally:
            count(counted.bytes_read)


def whole_files(
    fs: Any, place: Place, names: Collection[str], count: Callable[[int], None]
) -> Iterator[tuple[str, bytes]]:
    """The named files of a place, whole, as :func:`spinenet.readers.part10.as_part10` gives them.

    Parameters
    ----------
    fs, place, count
        As for :func:`open_members`, which also says what may be raised.
    names
        Those of its files.
    """
    if place.kind != "archive":
        place = replace(place, files={name: place.files[name] for name in names})
    left = set(names)
    for name, size, file in open_members(fs, place, count):
        if name in left:
            left.discard(name)
            check_total(1, size)
            data = as_part10(_read_all(file))
            if data is not None:
                yield name, data
        if not left:
            return


def _read_all(file: Readable) -> bytes:
    parts = []
    while part := file.read(_AT_ONCE):
        parts.append(part)
        check_total(1, sum(map(len, parts)))
    return b"".join(parts)


def open_file(fs: Any, path: str) -> Any:
    """Open a file so that little more is read than is asked for: a local one unbuffered."""
    if isinstance(fs, LocalFileSystem):
        return Path(path).open("rb", buffering=0)
    return fs.open(path, "rb", block_size=_BLOCK)


def _tar_members(file: Counted) -> Iterator[ArchiveMember]:
    packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    file.seek(0)
    if not packed:
        yield from tar_members(file)
        return
    for name, size, opened in tar_members(_Unpacked(gzip.GzipFile(fileobj=file))):
        yield name, size, partial(_read_ahead, opened)


def _read_ahead(opened: Callable[[], IO[bytes]]) -> IO[bytes]:
    """A member of a packed archive, which cannot go back but by starting again."""
    with opened() as stream:
        return BytesIO(stream.read(MAX_HEAD))


class _Unpacked(Counted):
    """A gzip'd file that is unpacked no further than to what one path may hold."""

    def read(self, size: int = -1, /) -> bytes:
        """As a file's; raises ScanError beyond the limit."""
        check_total(1, self.tell() + max(size, 0))
        return super().read(size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """As a file's; raises ScanError beyond the limit."""
        check_total(1, offset + (self.tell() if whence else 0))
        return super().seek(offset, whence)
