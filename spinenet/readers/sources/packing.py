"""Unpacks files packed with bzip2 or xz, within limits; gzip is unpacked where a file is read."""

from __future__ import annotations

import bz2
import lzma
import re
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

from spinenet.errors import ScanError
from spinenet.readers.sources.limits import UnpackedTotal

MAX_UNPACKED = 256 << 20
"""Bytes that one such file may unpack to."""

MAGIC = 10
"""Number of a file's first bytes that show how it is packed."""

_MEMORY = 128 << 20
"""Most bytes of memory for xz's dictionary."""

_PIECE = 1 << 20
_BZIP2 = re.compile(rb"BZh[1-9]\x31\x41\x59\x26\x53\x59")
_XZ = b"\xfd7zXZ\0"


def is_packed(head: bytes) -> bool:
    """Whether a file's first :data:`MAGIC` bytes are those of bzip2 or xz."""
    return head.startswith(_XZ) or _BZIP2.match(head) is not None


def all_unpacked(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Unpack those files of a path that are packed with bzip2 or xz.

    Raises
    ------
    ScanError
        As :func:`unpacked`; and too_large, if they hold more together than a path may.
    """
    contents: dict[str, bytes] = {}
    total = UnpackedTotal()
    for name, data in files.items():
        contents[name] = data
        if is_packed(data):
            contents[name] = unpacked(data, total)
    return contents


def unpacked(data: bytes, total: UnpackedTotal | None = None) -> bytes:
    """Unpack a file packed with bzip2 or xz; ``total`` is of its path, if other files are unpacked too.

    Raises
    ------
    ScanError
        too_large or unreadable.
    """
    new_decompressor: Callable[[], Any] = bz2.BZ2Decompressor
    if data.startswith(_XZ):
        new_decompressor = _new_xz
    contents = BytesIO()
    total = UnpackedTotal() if total is None else total
    size = 0
    rest = data
    try:
        while rest.rstrip(b"\0"):
            stream = new_decompressor()
            while not stream.eof:
                piece = stream.decompress(rest, _PIECE)
                rest = b""
                size += len(piece)
                if size > MAX_UNPACKED:
                    raise ScanError("too_large", f"the file unpacks to more than {MAX_UNPACKED >> 20} MiB")
                total.add(len(piece))
                if not piece and stream.needs_input:
                    raise ScanError("unreadable", "the packed file ends too early")
                contents.write(piece)
            rest = stream.unused_data
    except ScanError:
        # a ValueError too, and no fault of the file's form
        raise
    except (OSError, ValueError, lzma.LZMAError):
        raise ScanError("unreadable", "the packed file is broken") from None
    # a list of pieces would be there twice while it is joined
    return contents.getvalue()


def _new_xz() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)
