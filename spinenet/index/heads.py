"""The head of a DICOM file: its bytes up to the pixel data, without long values that are not needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Protocol

from spinenet.errors import ScanError
from spinenet.index.fast.headers import fast_frames
from spinenet.index.fast.walk import Held
from spinenet.readers.dicom.frames import Frame
from spinenet.readers.dicom.headers import PIXEL_HEAD, read_frames
from spinenet.readers.dicom.pixels import pixel_value
from spinenet.readers.sources.part10 import UNDEFINED_LENGTH, as_part10

PAGE = 4096
"""Bytes read from storage at a time."""
MAX_HEAD = 64 << 20
"""Bytes of the longest header that is read."""
_PIXEL_TAGS = (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10")
"""The tag PixelData (7FE0,0010) in little and in big endian."""


class Readable(Protocol):
    """A seekable binary file."""

    def read(self, size: int = -1, /) -> bytes:
        """Read the next ``size`` bytes; all that are left if it is negative."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Set the position, as :meth:`io.IOBase.seek`."""

    def tell(self) -> int:
        """The position, in bytes from the start."""


class Counted:
    """A file that counts the bytes read from it.

    Attributes
    ----------
    bytes_read
        Number of bytes read so far.
    """

    def __init__(self, file: Readable) -> None:
        self._file = file
        self.bytes_read = 0

    def read(self, size: int = -1, /) -> bytes:
        """Read and count the next bytes."""
        data = self._file.read(size)
        self.bytes_read += len(data)
        return data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Set the position, as :meth:`io.IOBase.seek`."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The position, in bytes from the start."""
        return self._file.tell()

    def seekable(self) -> bool:
        """True; :mod:`zipfile` asks."""
        return True


class _Pages:
    """A file of whose first :data:`MAX_HEAD` bytes only the pages that are asked for are read."""

    def __init__(self, file: Readable, first: bytes) -> None:
        self._file = file
        self._held = bytearray(first)
        self._fetched = {0}
        self._ended = False
        self._at = 0

    def tell(self) -> int:
        """The position, in bytes from the start."""
        return self._at

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Set the position from the start or the current one; raises ScanError beyond the limit."""
        self._at = offset + (self._at if whence else 0)
        self._check(self._at)
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        """Read the next bytes; raises ScanError beyond the limit, which a corrupt length may exceed."""
        to = self._at + size if size >= 0 else MAX_HEAD + 1
        if to > PAGE:
            self._check(to)
            self._fetch(to)
        data = bytes(self._held[self._at : to])
        self._at += len(data)
        return data

    def upto(self, size: int) -> bytes:
        """The file's first ``size`` bytes, with zeros for pages never read; the position moves there."""
        self.read(size - self._at)
        return bytes(self._held[:size])

    @property
    def held(self) -> Held:
        """The pages read so far, for walking through the header."""
        return Held(self._held, PAGE, self._reach)

    def _reach(self, begin: int, end: int) -> int:
        """Read a range and return where the bytes read without a gap end; see ``Held`` in the walker."""
        self.seek(begin)
        self.read(end - begin)
        page = begin // PAGE
        while page in self._fetched:
            page += 1
        return min(page * PAGE, len(self._held))

    def _fetch(self, to: int) -> None:
        missing = [page for page in range(self._at // PAGE, -(-to // PAGE)) if page not in self._fetched]
        if not missing or self._ended:
            return
        begin, size = missing[0] * PAGE, (missing[-1] - missing[0] + 1) * PAGE
        self._file.seek(begin)
        data = self._file.read(size)
        self._ended = len(data) < size
        # where nothing is read, a corrupt length beyond the end must not allocate zeros of its size
        self._held += bytes(max(0, begin - len(self._held))) if data else b""
        self._held[begin : begin + len(data)] = data
        self._fetched.update(missing)

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
        Result of :func:`spinenet.readers.dicom.headers.read_frames`; empty if the file is not DICOM.
    data
        The file's first bytes as DICOM part 10 (:func:`spinenet.readers.sources.part10.as_part10`), with
        zeros for long values that were not read.
    shift
        Bytes that ``data`` has more than the file before its first element; None where the file is
        packed, so that its size does not bound its pixels.
    """

    frames: tuple[Frame, ...]
    data: bytes
    shift: int | None

    def held(self, size: int) -> int | None:
        """Bytes that a file of ``size`` bytes holds for its pixels; None where that is unknown."""
        if not self.frames or self.frames[0].pixels.start is None:
            return None
        begin, length = pixel_value(self.data, self.frames[0].pixels)
        if length is None or length == UNDEFINED_LENGTH:
            # an undefined length belongs to compressed pixels; uncompressed ones cannot be read with it
            return 0
        return length if self.shift is None else max(0, min(length, size + self.shift - begin))


def read_head(name: str, file: Readable, overrides: Mapping[str, str] | None = None) -> Head:
    """Read a file's header without its pixels and without long values that are not needed.

    Parameters
    ----------
    name
        Name of the file.
    file
        The file, positioned at its start.
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
        if any(tag in head for tag in _PIXEL_TAGS) and (complete := _whole_head(name, head, 0, overrides)):
            return complete
        pages = _Pages(file, head)
        frames = fast_frames(name, pages, pages.upto, pages.held, overrides)  # type: ignore[arg-type]
        return Head(frames, pages.upto(pages.tell()), 0)
    # a packed or converted file has other offsets than its header, so more is read until the header is whole
    while True:
        shift = len(data) - len(head) if data.endswith(head) else None
        complete = _whole_head(name, data, shift, overrides)
        if complete or whole or len(head) >= MAX_HEAD:
            return complete or Head(read_frames(name, data, overrides), data, shift)
        more = file.read(len(head))
        whole = not more
        head += more
        data = as_part10(head, whole=False) or data


def _whole_head(
    name: str, data: bytes, shift: int | None, overrides: Mapping[str, str] | None
) -> Head | None:
    """The head if ``data`` holds all of it; None if not, as a header cut off may parse as another one."""
    try:
        # the digest covers the header alone, so a packed copy, of which more was read, has the same one
        frames = fast_frames(name, BytesIO(data), lambda size: data[:size], Held.whole(data), overrides)
    except ScanError as error:
        if error.reason == "too_large":
            raise
        return None
    start = frames[0].pixels.start
    return None if start is None or start + PIXEL_HEAD > len(data) else Head(frames, data, shift)
