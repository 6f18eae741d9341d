"""What one path may hold, kept to while its files are unpacked: a few bytes can stand for any number."""

from __future__ import annotations

import zlib

from spinenet.errors import ScanError

MAX_FILES = 20_000
"""Files of one path, or members of one archive."""

MAX_BYTES = 2 << 30
"""Bytes of one path together, after unpacking."""

GZIP_MAGIC = b"\x1f\x8b"
"""First bytes of a gzip'd file."""

_GZIP = 31
"""What :mod:`zlib` calls a gzip stream (its ``wbits``)."""


def check_total(files: int, size: int) -> None:
    """Refuse more files or bytes than one path may hold.

    Raises
    ------
    ScanError
        too_large.
    """
    if files > MAX_FILES:
        raise ScanError("too_large", f"the path holds {files} files; the most is {MAX_FILES}")
    if size > MAX_BYTES:
        raise ScanError("too_large", f"the files hold {size >> 20} MiB; the most is {MAX_BYTES >> 20} MiB")


def gunzip(data: bytes, *, whole: bool = True) -> bytes:
    """Decompress gzip'd bytes to at most :data:`MAX_BYTES`.

    Raises
    ------
    ScanError
        too_large or unreadable.
    """
    return inflate(data, _GZIP, whole=whole)


def inflate(data: bytes, wbits: int, *, whole: bool = True) -> bytes:
    """Decompress a zlib stream (``wbits`` as in :mod:`zlib`) to at most :data:`MAX_BYTES`.

    ``whole`` says that the stream must not end early.

    Raises
    ------
    ScanError
        too_large or unreadable.
    """
    stream = zlib.decompressobj(wbits)
    try:
        inflated = stream.decompress(data, MAX_BYTES)
    except zlib.error:
        raise ScanError("unreadable", "the compressed file is broken") from None
    if stream.unconsumed_tail:
        raise ScanError("too_large", f"the file unpacks to more than {MAX_BYTES >> 20} MiB")
    if whole and not stream.eof:
        raise ScanError("unreadable", "the compressed file ends too early")
    return inflated


def gunzipped_head(data: bytes, size: int) -> bytes:
    """The first ``size`` bytes that a gzip'd file unpacks to; fewer, even none, where it is broken."""
    try:
        return zlib.decompressobj(_GZIP).decompress(data[: 4 * size + 4096], size)
    except zlib.error:
        return b""
