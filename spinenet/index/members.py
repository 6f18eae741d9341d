"""Opens what a place holds, one file after the other: files in a folder, members of an archive."""

from __future__ import annotations

import gzip
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from spinenet.errors import ScanError
from spinenet.index.heads import MAX_HEAD, Counted, Readable
from spinenet.index.places import OTHER, Place
from spinenet.readers.archives import TAR_END, ZIP_MAGIC, points_outside
from spinenet.readers.limits import GZIP_MAGIC, check_total

_BLOCK = 1 << 16
"""Bytes that are fetched at once from storage that is no local disk."""

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
        opened = _zip_members if zipped else _tar_members
        try:
            yield from opened(counted)
        finally:
            count(counted.bytes_read)


def open_file(fs: Any, path: str) -> Any:
    """Open a file so that little more is read than is asked for: a local one unbuffered."""
    if isinstance(fs, LocalFileSystem):
        return Path(path).open("rb", buffering=0)
    return fs.open(path, "rb", block_size=_BLOCK)


def _zip_members(file: Counted) -> Iterator[Member]:
    with zipfile.ZipFile(file) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        check_total(len(members), sum(member.file_size for member in members))
        for member in members:
            _check_path(member.filename)
            if member.flag_bits & 1:
                raise ScanError("unreadable", "the archive is encrypted")
            if not _is_other(member.filename):
                with archive.open(member) as opened:
                    yield member.filename, member.file_size, opened


def _tar_members(file: Counted) -> Iterator[Member]:
    packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    file.seek(0)
    stream = _Unpacked(gzip.GzipFile(fileobj=file)) if packed else file
    with tarfile.open(fileobj=stream, mode="r:") as archive:  # type: ignore[call-overload]
        files = size = 0
        while (member := archive.next()) is not None:
            # a size below zero would send the archive's reader back, and round for ever
            if member.size < 0:
                raise ScanError("unreadable", "the archive is broken (a size below zero)")
            if not member.isreg():
                continue
            _check_path(member.name)
            files, size = files + 1, size + member.size
            # before it is passed over, since a packed one must be unpacked for that
            check_total(files, size)
            opened = None if _is_other(member.name) else archive.extractfile(member)
            if opened is not None:
                with closing(opened):
                    # a packed archive cannot go back but by starting again
                    yield member.name, member.size, BytesIO(opened.read(MAX_HEAD)) if packed else opened
        stream.seek(archive.offset)
        if stream.read(len(TAR_END)) != TAR_END:
            # the archive's reader takes a broken or missing header for the end
            raise ScanError("unreadable", "the archive is broken or ends too early")


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


def _is_other(name: str) -> bool:
    return name.lower().endswith(OTHER)


def _check_path(name: str) -> None:
    if points_outside(name):
        raise ScanError("unsafe_archive", "a member of the archive has a path outside the archive")
