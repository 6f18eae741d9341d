"""Opens archives in memory, within limits; nothing is written to a disk."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from pathlib import PurePosixPath
from typing import IO, Any, cast

from spinenet.errors import ScanError
from spinenet.readers.sources.limits import (
    GZIP_MAGIC,
    MAX_FILES,
    check_total,
    check_unpacked,
    gunzip,
    gunzipped_head,
)
from spinenet.readers.sources.packing import is_packed, unpacked
from spinenet.readers.sources.part10 import is_dicom
from spinenet.storage.causes import scan_error

ZIP_MAGIC = b"PK\x03\x04"
"""First bytes of a zip archive with members."""

HEAD = 4096
"""Number of a file's first bytes that show whether it is an archive."""

MAX_DEPTH = 3
"""Levels of nested archives that are opened: the outermost and two within it."""

_SMALLEST_ZIP = 22
"""Size in bytes of a zip archive without members."""

_TAR_MAGIC = b"ustar"
_TAR_MAGIC_AT = 257
_TAR_END = b"\0" * 512
"""Block after the last member of a tar archive."""

MAX_HEADERS = 2 * MAX_FILES
"""Most members of an archive, folders included."""

_LONGEST_HEADER = 1 << 20
"""Longest header of a tar member in bytes: a hostile archive may hold an endless name."""

_ZIP_ENTRY = b"PK\1\2"

ArchiveMember = tuple[str, int, Callable[[], IO[bytes]]]
"""(name, size in bytes, function that opens the member)."""


def members(data: bytes) -> dict[str, bytes] | None:
    """Read the files of an archive and of archives within it; None if the bytes are not an archive.

    Parameters
    ----------
    data
        Bytes of a file; zip, tar, and tar packed with gzip, bzip2 or xz are recognised by their content.

    Raises
    ------
    ScanError
        As :func:`unzip` and :func:`untar`.
    """
    stored = len(data)
    if is_packed(data):
        data = unpacked(data)
    begins = is_archive(data[:HEAD])
    if not begins and (is_dicom(data[:HEAD]) or not ends_as_zip(BytesIO(data), len(data))):
        return None
    held = _opened(data)
    for _ in range(MAX_DEPTH - 1):
        inner = [name for name, content in held.items() if is_archive(content[:HEAD])]
        for name in inner:
            held |= {f"{name}/{member}": content for member, content in _opened(held.pop(name)).items()}
            size = sum(map(len, held.values()))
            _check_held(len(held), size, stored)
    return held


def _opened(data: bytes) -> dict[str, bytes]:
    if data.startswith(GZIP_MAGIC):
        # 0 bytes stored: a tar packed with gzip gets no allowance for its unpacked size
        data = gunzip(data)
        if is_tar(data):
            return _contents(tar_members(BytesIO(data), 0))
    return untar(data) if is_tar(data) else unzip(data)


def ends_as_zip(file: Any, size: int) -> bool:
    """Whether a file is a zip archive behind other bytes, such as a self-extracting program.

    The file must be seekable; its position is arbitrary afterwards.
    """
    return size >= _SMALLEST_ZIP and zipfile.is_zipfile(file)


def is_archive(head: bytes) -> bool:
    """Whether a file's first :data:`HEAD` bytes are those of a zip or tar archive, gzip-packed or not."""
    if head.startswith(GZIP_MAGIC):
        head = gunzipped_head(head, _TAR_MAGIC_AT + len(_TAR_MAGIC))
    return head.startswith(ZIP_MAGIC) or is_tar(head)


def unzip(data: bytes) -> dict[str, bytes]:
    """Read every member of a zip archive, within the limits; errors as :func:`untar`."""
    return _contents(zip_members(BytesIO(data)))


def untar(data: bytes) -> dict[str, bytes]:
    """Read every plain file of a tar archive, within the limits; links and devices are skipped.

    Raises
    ------
    ScanError
        too_large for an archive bomb; unsafe_archive for a member whose path leads outside; unreadable
        for a broken or encrypted archive; no_files for an empty one.
    """
    return _contents(tar_members(BytesIO(data), len(data)))


def _contents(members: Iterator[ArchiveMember]) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    try:
        for name, _, opened in members:
            with opened() as stream:
                contents[name] = stream.read()
    except ScanError:
        raise
    except (Exception, RecursionError) as error:
        broken = ScanError("unreadable", f"the archive is broken ({type(error).__name__})")
        raise scan_error(error) or broken from None
    if not contents:
        raise ScanError("no_files", "the archive holds no files")
    return contents


def zip_members(file: Any) -> Iterator[ArchiveMember]:
    """Iterate over the files of a zip archive; each must be opened before the next is asked for.

    A member yields no more bytes than the size that it declares, and the sum of these is within the limits.

    Parameters
    ----------
    file
        A seekable file, positioned at its start.

    Raises
    ------
    ScanError
        As :func:`untar`.
    Exception
        Errors of :mod:`zipfile` for a broken archive.
    """
    stored = file.seek(0, 2)
    file.seek(0)
    limited = _HeaderLimited(file)
    with zipfile.ZipFile(cast(IO[bytes], limited)) as archive:
        limited.opening = False
        listed = [member for member in archive.infolist() if not member.is_dir()]
        size = sum(member.file_size for member in listed)
        _check_held(len(listed), size, stored)
        for member in listed:
            _check_path(member.filename)
            if member.flag_bits & 1:
                raise ScanError("unreadable", "the archive is encrypted")
            yield member.filename, member.file_size, partial(archive.open, member)


def tar_members(file: Any, stored: int | None = None) -> Iterator[ArchiveMember]:
    """Iterate over the plain files of an unpacked tar archive; otherwise as :func:`zip_members`.

    Parameters
    ----------
    file
        A seekable file, positioned at its start.
    stored
        Size of the tar as stored, in bytes; 0 where it was packed, None for the size of ``file``.
    """
    if stored is None:
        stored = int(file.seek(0, 2))
        file.seek(0)
    limited = _HeaderLimited(file)
    with tarfile.open(fileobj=cast(IO[bytes], limited), mode="r:") as archive:
        files = size = headers = 0
        while (member := archive.next()) is not None:
            limited.opening = False
            headers += 1
            # tarfile would keep every header, and a packed tar can hold countless folders in few bytes
            archive.members = []  # type: ignore[attr-defined]
            _check_headers(headers)
            # a negative size would send tarfile backwards, in an endless loop
            if member.size < 0:
                raise ScanError("unreadable", "the archive is broken (a size below zero)")
            if not member.isreg():
                continue
            _check_path(member.name)
            files, size = files + 1, size + member.size
            # before it is read or skipped: a sparse member may have any size, and skipping one unpacks it
            _check_held(files, size, stored)
            yield member.name, member.size, partial(_plain_file, archive, member)
            limited.opening = True
        file.seek(archive.offset)
        if file.read(len(_TAR_END)) != _TAR_END:
            # tarfile takes a broken or missing header for the end
            raise ScanError("unreadable", "the archive is broken or ends too early")


class _HeaderLimited:
    """An archive's file that limits what may be read while the next member's header is looked for."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.opening = True

    def read(self, size: int = -1, /) -> bytes:
        """Read bytes; raises ScanError if they are too many for a header, or list too many members."""
        data: bytes = self._file.read(size)
        if self.opening and len(data) > _LONGEST_HEADER:
            _check_headers(data.count(_ZIP_ENTRY) or MAX_HEADERS + 1)
        return data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Set the position, as :meth:`io.IOBase.seek`."""
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        """The position, in bytes from the start."""
        return int(self._file.tell())

    def seekable(self) -> bool:
        """True; :mod:`zipfile` asks."""
        return True


def _check_held(files: int, size: int, stored: int) -> None:
    check_total(files, size)
    check_unpacked(size, stored)


def _check_headers(count: int) -> None:
    if count > MAX_HEADERS:
        raise ScanError(
            "too_large", f"the archive has more than {MAX_HEADERS} members, or headers without end"
        )


def _plain_file(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    stream = archive.extractfile(member)
    assert stream is not None
    return stream


def _check_path(name: str) -> None:
    parts = PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or ":" in name.split("/")[0]:
        raise ScanError("unsafe_archive", "a member of the archive has a path outside the archive")


def is_tar(data: bytes) -> bool:
    """Whether a file's first bytes are those of an unpacked tar archive."""
    return data[_TAR_MAGIC_AT : _TAR_MAGIC_AT + len(_TAR_MAGIC)] == _TAR_MAGIC
