"""Parses the own header of a compressed frame, which a decoder believes whatever the DICOM header says."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from spinenet.errors import ScanError

MAX_BLOCKS = 1 << 18
"""Tiles, and precincts of a tile, of a JPEG 2000 image; a decoder makes some hundred bytes for each of them
before it reads any pixel. Real images have a few."""

_SOI, _SOS, _DHP = 0xD8, 0xDA, 0xDE
_NO_LENGTH = frozenset((0x01, *range(0xD0, 0xDA)))
_STARTS = frozenset((*range(0xC0, 0xD0), 0xF7)) - {0xC4, 0xC8, 0xCC}
"""Start of frame: SOF0 to SOF15 without DHT, JPG and DAC (ITU-T T.81 table B.1), and SOF55 of JPEG-LS."""

_PRESETS, _PRESETS_LENGTH = 0xF8, 13
"""LSE of JPEG-LS, and its length where it holds thresholds (ITU-T T.87 C.2.4.1.1)."""

_SIZ, _COD, _COC, _SOT, _SOD = 0xFF51, 0xFF52, 0xFF53, 0xFF90, 0xFF93
_JP2 = b"\0\0\0\x0cjP  \r\n\x87\n"


@dataclass(frozen=True)
class Codestream:
    """Size and coding of a compressed frame by its own header.

    Attributes
    ----------
    data
        Bytes for the decoder, without a container.
    process
        For JPEG the number of the start of frame marker: 0xC0 baseline, 0xC1 extended, 0xC3 lossless, 0xF7
        JPEG-LS; for JPEG 2000 it is 0.
    rows, columns, components
        Size of the image.
    bits
        Bits of a pixel.
    """

    data: bytes
    process: int
    rows: int
    columns: int
    components: int
    bits: int


def jpeg(frame: bytes) -> Codestream:
    """Parse a JPEG or JPEG-LS frame (ITU-T T.81 B.2, T.87 C.2): every marker up to the first scan.

    Raises
    ------
    ScanError
        bad_pixels.
    """
    if frame[:2] != bytes((0xFF, _SOI)):
        raise _broken("JPEG")
    starts: list[tuple[int, int]] = []
    for marker, at, end in _segments(frame):
        if marker in _STARTS and end - at >= 6:
            starts.append((marker, at))
        if marker == _DHP or (marker == _PRESETS and not _plain_presets(frame, at, end)):
            raise _broken("JPEG")
        if marker == _SOS:
            if len(starts) != 1:
                break
            process, at = starts[0]
            bits, rows, columns, components = struct.unpack_from(">BHHB", frame, at)
            return Codestream(frame, process, rows, columns, components, bits)
    raise _broken("JPEG")


def _segments(frame: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, where its parameters begin, where they end) after the start of the image."""
    at = 2
    while at + 4 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _NO_LENGTH:
            at += 2
        else:
            end = at + 2 + struct.unpack_from(">H", frame, at + 2)[0]
            if end < at + 4 or end > len(frame):
                return
            yield marker, at + 4, end
            at = end


def _plain_presets(frame: bytes, at: int, end: int) -> bool:
    """Whether JPEG-LS parameters are thresholds in order (T.87 C.2.4.1.1), and no table or other size."""
    if end - at != _PRESETS_LENGTH - 2 or frame[at] != 1:
        return False
    most, first, second, third, reset = struct.unpack_from(">5H", frame, at + 1)
    ordered = not any((first, second, third)) or first <= second <= third <= (most or 0xFFFF)
    return bool(ordered) and (reset == 0 or reset >= 3)


def jpeg_2000(frame: bytes) -> Codestream:
    """Parse a JPEG 2000 frame (ITU-T T.800 annex A), within a JP2 container or not.

    Raises
    ------
    ScanError
        bad_pixels.
    """
    data = _unboxed(frame) if frame.startswith(_JP2) else frame
    if len(data) < 42 or data[:2] != b"\xff\x4f" or data[2:4] != b"\xff\x51":
        raise _broken("JPEG 2000")
    right, bottom, left, top, width, height, tiles_left, tiles_top = struct.unpack_from(">8I", data, 8)
    (components,) = struct.unpack_from(">H", data, 40)
    if not width or not height or right <= left or bottom <= top or components < 1 or len(data) < 45:
        raise _broken("JPEG 2000")
    if (data[43], data[44]) != (1, 1):
        raise ScanError("bad_pixels", "compressed pixels are subsampled")
    tiles = -(-(right - tiles_left) // width) * -(-(bottom - tiles_top) // height)
    size = (min(width, right - left), min(height, bottom - top))
    if tiles > MAX_BLOCKS >> 6 or any(_precincts(style, size) > MAX_BLOCKS for style in _coding_styles(data)):
        raise ScanError("bad_pixels", "compressed pixels lie in more pieces than an image has")
    return Codestream(data, 0, bottom - top, right - left, components, (data[42] & 0x7F) + 1)


def _unboxed(frame: bytes) -> bytes:
    """The first codestream of a JP2 file (T.800 annex I)."""
    at = 0
    while at + 8 <= len(frame):
        length, kind = struct.unpack_from(">I4s", frame, at)
        begin = at + 8
        if length == 1 and at + 16 <= len(frame):
            begin, (length,) = at + 16, struct.unpack_from(">Q", frame, at + 8)
        end = at + length if length else len(frame)
        if end < begin:
            break
        if kind == b"jp2c":
            return frame[begin:end]
        at = end
    raise _broken("JPEG 2000")


def _coding_styles(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(decomposition levels, precinct exponents) of every coding style, in main and tile headers alike."""
    at, tile_end = 2, 0
    while at + 4 <= len(data):
        marker, length = struct.unpack_from(">2H", data, at)
        if marker == _SOT and at + 12 <= len(data):
            (size,) = struct.unpack_from(">I", data, at + 6)
            tile_end = at + size if size else len(data)
        if marker == _SOD:
            if tile_end <= at:
                return
            at = tile_end
            continue
        if marker < 0xFF01 or length < 2:
            return
        end = min(len(data), at + 2 + length)
        if marker == _COD and end >= at + 10:
            yield data[at + 9], data[at + 14 : end] if data[at + 4] & 1 else b""
        elif marker == _COC and end >= at + 7:
            # components are numbered by a byte where there are fewer than 257, as there have to be
            yield data[at + 6], data[at + 11 : end] if data[at + 5] & 1 else b""
        at = end


def _precincts(style: tuple[int, bytes], size: tuple[int, int]) -> int:
    levels, exponents = style
    count = 0
    for resolution, exponent in enumerate(exponents[: levels + 1]):
        width, height = ((length >> (levels - resolution)) + 1 for length in size)
        count += ((width >> (exponent & 15)) + 1) * ((height >> (exponent >> 4)) + 1)
    return count


def _broken(what: str) -> ScanError:
    return ScanError("bad_pixels", f"compressed pixels are no plain {what} image")
