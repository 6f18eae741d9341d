"""Opens the files of a place one after the other: files of a folder, members of an archive."""

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
from spinenet.index.places import ARCHIVE, Place
from spinenet.readers.sources.archives import (
    HEAD,
    ArchiveMember,
    is_archive,
    is_tar,
    tar_members,
    zip_members,
)
from spinenet.readers.sources.files import BESIDE, OTHER
from spinenet.readers.sources.limits import (
    GZIP_MAGIC,
    UnpackedTotal,
    check_total,
    check_unpacked,
    gunzip,
    gunzipped_head,
)
from spinenet.readers.sources.packing import is_packed, unpacked
from spinenet.readers.sources.part10 import as_part10

_BLOCK = 1 << 16
"""Bytes fetched at a time from storage other than a local disk."""

_AT_ONCE = 1 << 24
"""Bytes read at a time where a whole file is read."""

_PASSED_OVER = tuple(ending for ending in OTHER if ending not in BESIDE)
"""Endings of names that are no image: such members are opened only where there are no others."""

Member = tuple[str, int, Readable]
"""(name, size in bytes, the file positioned at its start); open until the next member is asked for."""


def open_members(fs: Any, place: Place, count: Callable[[int], None]) -> Iterator[Member]:
    """Open the files of a folder or an archive in turn.

    Parameters
    ----------
    fs
        The fsspec filesystem of the place.
    place
        The folder, archive or file.
    count
        Called with the number of bytes read from storage, file by file.

    Raises
    ------
    ScanError
        unreadable, unsafe_archive or too_large, for an archive.
    Exception
        Errors of the filesystem and of the archive's format, also while a member is read.
    """
    if place.kind != ARCHIVE:
        for name, size in place.files.items():
            with open_file(fs, name) as file:
                counted = Counted(file)
                yield name, size, counted
                count(counted.bytes_read)
        return
    with open_file(fs, place.path) as file:
        counted = Counted(file)
        try:
            yield from members_in(counted)
        finally:
            count(counted.bytes_read)


def members_in(file: Readable) -> Iterator[Member]:
    """Open the members of an archive, positioned at its start, in turn; errors as :func:`open_members`.

    Members whose names are of no image are opened only where there are no others.
    """
    passed_over = False
    opened = 0
    for name, size, member in _listed(file):
        if name.lower().endswith(_PASSED_OVER):
            passed_over = True
            continue
        opened += 1
        with member() as stream:
            yield name, size, stream
    if passed_over and not opened:
        file.seek(0)
        for name, size, member in _listed(file):
            with member() as stream:
                yield name, size, stream


def _listed(file: Readable) -> Iterator[ArchiveMember]:
    head = file.read(HEAD)
    file.seek(0)
    if is_packed(head):
        file = BytesIO(unpacked(file.read()))
        head = file.read(HEAD)
        file.seek(0)
    if not head.startswith(GZIP_MAGIC):
        yield from (tar_members if is_tar(head) else zip_members)(file)
        return
    if not is_tar(gunzipped_head(head, HEAD)):
        yield from zip_members(BytesIO(gunzip(file.read())))
        return
    for name, size, opened in tar_members(_Unpacked(gzip.GzipFile(fileobj=file)), 0):
        yield name, size, partial(_read_ahead, opened)


def whole_files(
    fs: Any, place: Place, names: Collection[str], count: Callable[[int], None]
) -> Iterator[tuple[str, bytes]]:
    """Read files of a place whole, as DICOM part 10 (:func:`spinenet.readers.sources.part10.as_part10`).

    Parameters
    ----------
    fs, place, count
        As for :func:`open_members`; its errors are raised too.
    names
        Names of the files to read.
    """
    if place.kind != ARCHIVE:
        place = replace(place, files={name: place.files[name] for name in names})
    yield from _whole(open_members(fs, place, count), set(names), UnpackedTotal())


def _whole(members: Iterator[Member], left: set[str], total: UnpackedTotal) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of the members named in ``left``, also of archives within archives."""
    for name, size, file in members:
        if name in left:
            left.discard(name)
            check_total(1, size)
            data = _read_all(file)
            data = as_part10(unpacked(data, total) if is_packed(data) else data, total=total) or b""
            if data:
                yield name, data
        elif within := {path for path in left if path.startswith(f"{name}/")}:
            left -= within
            inner = {path.removeprefix(f"{name}/") for path in within}
            for path, data in _whole(members_in(BytesIO(_read_all(file))), inner, total):
                yield f"{name}/{path}", data
        if not left:
            return


def _read_all(file: Readable) -> bytes:
    whole = BytesIO()
    while part := file.read(_AT_ONCE):
        whole.write(part)
        check_total(1, whole.tell())
    # a list of parts would be there twice while it is joined
    return whole.getvalue()


def open_file(fs: Any, path: str) -> Any:
    """Open a file without reading far ahead: a local one unbuffered, a remote one in small blocks."""
    if isinstance(fs, LocalFileSystem):
        return Path(path).open("rb", buffering=0)
    return fs.open(path, "rb", block_size=_BLOCK)


def _read_ahead(opened: Callable[[], IO[bytes]]) -> IO[bytes]:
    """The head of a packed archive's member, in memory: seeking back would unpack the archive again."""
    with opened() as stream:
        head = stream.read(MAX_HEAD)
        return BytesIO(head + stream.read() if is_archive(head[:HEAD]) else head)


class _Unpacked(Counted):
    """A gzip-compressed file that is unpacked up to the limit for a path."""

    def read(self, size: int = -1, /) -> bytes:
        """Read the next bytes; raises ScanError beyond the limit."""
        check_unpacked(self.tell() + max(size, 0))
        return super().read(size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Set the position; raises ScanError beyond the limit."""
        check_unpacked(offset + (self.tell() if whence else 0))
        return super().seek(offset, whence)
