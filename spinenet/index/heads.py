"""The head of a DICOM file: its bytes up to the pixel data, and little more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import pydicom

from spinenet.errors import ScanError
from spinenet.readers.headers import Frame, read_frames
from spinenet.readers.part10 import as_part10
from spinenet.readers.tags import quiet_pydicom

PAGE = 4096
"""Bytes that are read first; most headers end within them."""
MAX_HEAD = 64 << 20
"""Bytes of the longest header that is read."""
_AFTER = 12
"""Bytes of the pixel data element before its first pixel."""
MAX_PACKED = 1 << 20
"""Bytes that are read of a packed file, or a bare one, whose first page does not hold its header."""


class Readable(Protocol):
    """A file that can go back to where it was."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a place."""

    def tell(self) -> int:
        """The place."""


class Counted:
    """A file that counts the bytes which are read from it.

    Attributes
    ----------
    bytes_read
        So far.
    """

    def __init__(self, file: Readable) -> None:
        self._file = file
        self.bytes_read = 0

    def read(self, size: int = -1, /) -> bytes:
        """As a file's."""
        data = self._file.read(size)
        self.bytes_read += len(data)
        return data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """As a file's."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As a file's."""
        return self._file.tell()

    def seekable(self) -> bool:
        """As a file's; archives ask."""
        return True


class _Bounded(Counted):
    """A file whose header is looked for in its first :data:`MAX_HEAD` bytes only."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """As a file's; raises ScanError beyond the limit, wherever a header's lengths may lead."""
        to = offset if whence == 0 else self.tell() + offset
        if to > MAX_HEAD:
            raise ScanError("too_large", f"a header is longer than {MAX_HEAD >> 20} MiB")
        return super().seek(offset, whence)


def read_head(
    name: str, file: Readable, overrides: Mapping[str, str] | None = None
) -> tuple[tuple[Frame, ...], bytes]:
    """Read a file's header and leave its pixels.

    Parameters
    ----------
    name
        Of the file.
    file
        At its start.
    overrides
        Values that replace tags, by keyword.

    Returns
    -------
    frames
        As :func:`spinenet.readers.headers.read_frames` gives them; none if the file is not DICOM.
    head
        The bytes that were read, unpacked.

    Raises
    ------
    ScanError
        unreadable or too_large.
    """
    head = file.read(PAGE)
    frames = _frames(name, head, overrides)
    if not frames or frames[0].pixels.start is not None or len(head) < PAGE:
        return frames, head
    # where bytes of the file are not bytes of the header, there is no telling where it ends
    head += (
        _rest(len(head), _Bounded(file)) if as_part10(head, whole=False) is head else file.read(MAX_PACKED)
    )
    return _frames(name, head, overrides), head


def _frames(name: str, head: bytes, overrides: Mapping[str, str] | None) -> tuple[Frame, ...]:
    data = as_part10(head, whole=False)
    return read_frames(name, data, overrides) if data is not None else ()


def _rest(known: int, file: Readable) -> bytes:
    """What of a header longer than the ``known`` bytes lies beyond them."""
    file.seek(0)
    with quiet_pydicom():
        try:
            # values are passed over, so this reads little more than the elements' lengths
            pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["SOPClassUID"])
        except ScanError:
            raise
        except (Exception, RecursionError) as error:
            detail = f"a DICOM header cannot be read ({type(error).__name__})"
            raise ScanError("unreadable", detail) from None
    end = file.tell() + _AFTER
    file.seek(known)
    return file.read(max(0, min(end, MAX_HEAD) - known))
