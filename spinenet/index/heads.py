"""The head of a DICOM file: its bytes up to the pixel data, without the long values that nobody needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Protocol

from spinenet.errors import ScanError
from spinenet.readers.dicom.frames import Frame
from spinenet.readers.dicom.headers import PIXEL_HEAD, frames_from, read_frames
from spinenet.readers.dicom.pixels import UNDEFINED_LENGTH, pixel_value
from spinenet.readers.dicom.walk import Held
from spinenet.readers.sources.part10 import as_part10

PAGE = 4096
"""Bytes that are read at once."""
MAX_HEAD = 64 << 20
"""Bytes of the longest header that is read."""
_PIXEL_TAGS = (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10")


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
        """True, as zip archives want to know."""
        return True


class _Pages:
    """A file of which those pages are read that somebody asks for, in its first :data:`MAX_HEAD` bytes."""

    def __init__(self, file: Readable, first: bytes) -> None:
        self._file = file
        self._held = bytearray(first)
        self._known = {0}
        self._ended = False
        self._at = 0

    def tell(self) -> int:
        """As a file's."""
        return self._at

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """As a file's, from its start or from here; raises ScanError beyond the limit."""
        self._at = offset + (self._at if whence else 0)
        self._check(self._at)
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        """As a file's; raises ScanError beyond the limit, wherever a header's lengths may lead."""
        to = self._at + size if size >= 0 else MAX_HEAD + 1
        if to > PAGE:
            self._check(to)
            self._fetch(to)
        data = bytes(self._held[self._at : to])
        self._at += len(data)
        return data

    def upto(self, size: int) -> bytes:
        """The file's first bytes, zeros where none was asked for; the file is then there."""
        self.read(size - self._at)
        return bytes(self._held[:size])

    @property
    def held(self) -> Held:
        """The file's bytes as a walk takes them."""
        return Held(self._held, PAGE, self._reach)

    def _reach(self, begin: int, end: int) -> int:
        """See :class:`spinenet.readers.dicom.walk.Held`."""
        self.seek(begin)
        self.read(end - begin)
        page = begin // PAGE
        while page in self._known:
            page += 1
        return min(page * PAGE, len(self._held))

    def _fetch(self, to: int) -> None:
        missing = [page for page in range(self._at // PAGE, -(-to // PAGE)) if page not in self._known]
        if not missing or self._ended:
            return
        begin, size = missing[0] * PAGE, (missing[-1] - missing[0] + 1) * PAGE
        self._file.seek(begin)
        data = self._file.read(size)
        self._ended = len(data) < size
        # a length that leads beyond the end is not to make zeros of its size
        self._held += bytes(max(0, begin - len(self._held))) if data else b""
        self._held[begin : begin + len(data)] = data
        self._known.update(missing)

    @staticmethod
    def _check(to: int) -> None:
        if to > MAX_HEAD:
            raise ScanError("too_large", f"a header is longer than {MAX_HEAD >> 20} MiB")


@dataclass(frozen=True)
class Head:
    """The beginning of a DICOM file.

    Attributes
    ----------
    frames
        As :func:`spinenet.readers.dicom.headers.read_frames` gives them; none if the file is not DICOM.
    data
        The file's first bytes as :func:`spinenet.readers.sources.part10.as_part10` gives them, with zeros
        for long values that were not read.
    shift
        How many bytes more than the file itself ``data`` has before its first element; None where the
        file is packed, so that its size tells nothing.
    """

    frames: tuple[Frame, ...]
    data: bytes
    shift: int | None

    def held(self, size: int) -> int | None:
        """Bytes that a file of ``size`` bytes can hold for its pixels; None where that is not known."""
        if not self.frames or self.frames[0].pixels.start is None:
            return None
        begin, length = pixel_value(self.data, self.frames[0].pixels)
        if length is None or length == UNDEFINED_LENGTH:
            # of compressed pixels, and those of an uncompressed transfer syntax can never have it
            return 0
        return length if self.shift is None else max(0, min(length, size + self.shift - begin))


def read_head(name: str, file: Readable, overrides: Mapping[str, str] | None = None) -> Head:
    """Read a file's header and leave its pixels, and long values that nobody needs.

    Parameters
    ----------
    name
        Of the file.
    file
        At its start.
    overrides
        Values that replace tags, by keyword.

    Raises
    ------
    ScanError
        unreadable or too_large.
    """
    head = file.read(PAGE)
    whole = len(head) < PAGE
    data = as_part10(head, whole=False)
    if data is None:
        return Head((), head, 0)
    if data is head and not whole:
        if any(tag in head for tag in _PIXEL_TAGS) and (found := _whole_head(name, head, 0, overrides)):
            return found
        pages = _Pages(file, head)
        frames = frames_from(name, pages, pages.upto, pages.held, overrides)  # type: ignore[arg-type]
        return Head(frames, pages.upto(pages.tell()), 0)
    # where bytes of the file are not bytes of the header, there is no telling where it ends
    while True:
        shift = len(data) - len(head) if data.endswith(head) else None
        found = _whole_head(name, data, shift, overrides)
        if found or whole or len(head) >= MAX_HEAD:
            return found or Head(read_frames(name, data, overrides), data, shift)
        more = file.read(len(head))
        whole = not more
        head += more
        data = as_part10(head, whole=False) or data


def _whole_head(
    name: str, data: bytes, shift: int | None, overrides: Mapping[str, str] | None
) -> Head | None:
    """The head, if the bytes hold it whole; what is cut off before its end may look like anything."""
    try:
        # the digest is of the header alone, however much more was read: a packed copy has the same
        frames = frames_from(name, BytesIO(data), lambda size: data[:size], Held.whole(data), overrides)
    except ScanError as error:
        if error.reason == "too_large":
            raise
        return None
    start = frames[0].pixels.start
    return None if start is None or start + PIXEL_HEAD > len(data) else Head(frames, data, shift)
