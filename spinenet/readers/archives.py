"""Archives are opened in memory, within limits; nothing in them is written anywhere."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from io import BytesIO
from pathlib import PurePosixPath

from spinenet.errors import ScanError
from spinenet.readers.limits import GZIP_MAGIC, check_total, gunzip, gunzipped_head

ZIP_MAGIC = b"PK\x03\x04"
"""First bytes of a zip that holds something."""

HEAD = 4096
"""First bytes of a file that tell whether it is an archive."""

_TAR_MAGIC = b"ustar"
_TAR_MAGIC_AT = 257
TAR_END = b"\0" * 512
"""What follows the last member of a tar."""


def members(data: bytes) -> dict[str, bytes] | None:
    """The files in an archive, or None if the bytes are none.

    Parameters
    ----------
    data
        Of a zip, a tar or a gzip'd tar, told by their first bytes. Archives in archives stay closed.

    Raises
    ------
    ScanError
        As :func:`unzip` and :func:`untar`.
    """
    if data.startswith(ZIP_MAGIC):
        return unzip(data)
    if data.startswith(GZIP_MAGIC) and _is_tar(gunzipped_head(data, 512)):
        return untar(gunzip(data))
    return untar(data) if _is_tar(data) else None


def is_archive(head: bytes) -> bool:
    """Whether a file's first :data:`HEAD` bytes are those of an archive that is read."""
    if head.startswith(GZIP_MAGIC):
        head = gunzipped_head(head, _TAR_MAGIC_AT + len(_TAR_MAGIC))
    return head.startswith(ZIP_MAGIC) or _is_tar(head)


def unzip(data: bytes) -> dict[str, bytes]:
    """Read every member of a zip archive, within the limits.

    Raises
    ------
    ScanError
        too_large for an archive bomb; unsafe_archive for a member whose path points outside; unreadable
        for one that is broken or encrypted; no_files.
    """
    contents: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            listed = [member for member in archive.infolist() if not member.is_dir()]
            check_total(len(listed), sum(member.file_size for member in listed))
            for member in listed:
                if points_outside(member.filename):
                    raise ScanError(
                        "unsafe_archive", "a member of the archive has a path outside the archive"
                    )
                if member.flag_bits & 1:
                    raise ScanError("unreadable", "the archive is encrypted")
                # a member yields no more than the size it declares, which the check above has summed
                contents[member.filename] = archive.read(member)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError, ValueError) as error:
        if isinstance(error, ScanError):
            raise
        raise ScanError("unreadable", f"the archive is broken ({type(error).__name__})") from None
    if not contents:
        raise ScanError("no_files", "the archive holds no files")
    return contents


def untar(data: bytes) -> dict[str, bytes]:
    """Read every plain file of a tar archive, within the limits; links and devices are passed over.

    Raises
    ------
    ScanError
        As :func:`unzip`.
    """
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=BytesIO(data), mode="r:") as archive:
            size = 0
            while (member := archive.next()) is not None:
                # a size below zero would send the archive's reader back, and round for ever
                if member.size < 0:
                    raise ScanError("unreadable", "the archive is broken (a size below zero)")
                if not member.isreg():
                    continue
                if points_outside(member.name):
                    raise ScanError(
                        "unsafe_archive", "a member of the archive has a path outside the archive"
                    )
                size += member.size
                # before it is read: a sparse member may be any size
                check_total(len(contents) + 1, size)
                stream = archive.extractfile(member)
                assert stream is not None
                contents[member.name] = stream.read()
            # the archive's reader takes a broken or missing header for the end
            if not data.startswith(TAR_END, archive.offset):
                raise ScanError("unreadable", "the archive is broken or ends too early")
    except ScanError:
        raise
    except (Exception, RecursionError) as error:
        raise ScanError("unreadable", f"the archive is broken ({type(error).__name__})") from None
    if not contents:
        raise ScanError("no_files", "the archive holds no files")
    return contents


def _is_tar(data: bytes) -> bool:
    return data[_TAR_MAGIC_AT : _TAR_MAGIC_AT + len(_TAR_MAGIC)] == _TAR_MAGIC


def points_outside(name: str) -> bool:
    """Whether a member's name leads out of its archive."""
    parts = PurePosixPath(name.replace("\\", "/"))
    return parts.is_absolute() or ".." in parts.parts or ":" in name.split("/")[0]
