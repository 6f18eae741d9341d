"""A file's frames of pixels: lengths are checked before anything is allocated, values come out as stored.

Fragments are told apart here and not by ``pydicom.encaps``, which does not say that a file was cut off: of
4,170 cuts of a lossless JPEG it passes on 4,154, and 4,083 become wrong pixels.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from spinenet.errors import ScanError
from spinenet.readers.dicom.decoders import decode, is_decoded
from spinenet.readers.dicom.frames import PixelFormat
from spinenet.readers.dicom.padding import padded_pixels
from spinenet.readers.dicom.tags import quiet_pydicom
from spinenet.readers.sources.part10 import UNDEFINED_LENGTH

_NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)

MAX_FRAGMENTS = 100_000
"""Of a file's compressed pixels, a frame's being one or a few. An empty one of 8 bytes takes 200 here."""


def check_format(pixels: PixelFormat) -> None:
    """Refuse what cannot be decoded here, from the header alone.

    Raises
    ------
    ScanError
        unsupported_syntax or unsupported_image.
    """
    if pixels.transfer_syntax not in _NATIVE:
        # a malformed UID makes pydicom warn, hence the quiet
        with quiet_pydicom():
            name = UID(pixels.transfer_syntax).name
        if not is_decoded(pixels.transfer_syntax):
            raise ScanError("unsupported_syntax", f"the transfer syntax is {name[:64]}")
    allocated = pixels.bits_allocated
    if allocated not in (8, 16, 32):
        raise ScanError("unsupported_image", f"pixels of {allocated} bits are not read; 8, 16 and 32 are")
    stored, high_bit = _stored_bits(pixels)
    if not 1 <= stored <= allocated or not stored - 1 <= high_bit < allocated:
        raise ScanError(
            "unsupported_image", f"{stored} bits up to bit {high_bit} do not fit {allocated} bits"
        )


class Stored(NamedTuple):
    """A frame's pixels.

    Attributes
    ----------
    values
        (rows, columns) integers, unused high bits cleared, before rescaling.
    padded
        (rows, columns): which of them are padding; None where none is.
    odd
        Whether the decoder warned.
    """

    values: npt.NDArray[np.integer]
    padded: npt.NDArray[np.bool_] | None
    odd: bool


def stored_frames(data: bytes, formats: Sequence[PixelFormat]) -> Iterator[Stored]:
    """Decode frames of one file, which is gone through once.

    Parameters
    ----------
    data
        The file's bytes, not deflated.
    formats
        Of the frames wanted, from the file's header, passed by :func:`check_format`.

    Yields
    ------
    Stored
        In the order of the formats.

    Raises
    ------
    ScanError
        no_pixels or bad_pixels.
    """
    native = formats[0].transfer_syntax in _NATIVE
    encoded = [] if native else _encoded_frames(data, formats[0])
    for pixels in formats:
        shape = (pixels.rows or 0, pixels.columns or 0)
        if native:
            words, odd = _native(data, pixels, shape), False
        else:
            words, odd = _decoded(encoded[pixels.index], pixels)
        values = _cleared(words, pixels, shifted=native or pixels.transfer_syntax == RLELossless)
        yield Stored(values, padded_pixels(words, values, pixels), odd)


def needed_bytes(pixels: PixelFormat) -> int | None:
    """Bytes that a file's uncompressed pixels take; None where they are compressed or not described."""
    if pixels.transfer_syntax not in _NATIVE or not pixels.bits_allocated:
        return None
    per_pixel = pixels.samples * (pixels.bits_allocated // 8)
    return (pixels.rows or 0) * (pixels.columns or 0) * pixels.frames * per_pixel


def stored_pixels(data: bytes, pixels: PixelFormat) -> Stored:
    """Decode one frame; see :func:`stored_frames`."""
    return next(stored_frames(data, [pixels]))


def _native(data: bytes, pixels: PixelFormat, shape: tuple[int, int]) -> npt.NDArray[np.integer]:
    big = pixels.transfer_syntax == ExplicitVRBigEndian
    order = ">" if big else "<"
    begin, length = _checked_value(data, pixels)
    if length == UNDEFINED_LENGTH:
        raise ScanError("bad_pixels", "compressed pixels lie under an uncompressed transfer syntax")
    item = (pixels.bits_allocated or 0) // 8
    size = shape[0] * shape[1] * item
    needed = size * pixels.frames
    held = min(length, len(data) - begin)
    if held < needed:
        claimed = f"{pixels.frames} x {shape[0]} x {shape[1]}"
        raise ScanError("bad_pixels", f"pixel data holds {held} of the {needed} bytes of {claimed} pixels")
    at = begin + size * pixels.index
    if big and item == 1 and data[begin - 8 : begin - 6] == b"OW":
        # bytes lie in 16-bit words, whose order is turned (PS3.5 A.3)
        odd = size * pixels.index % 2
        words = data[at - odd : at + size + (size + odd) % 2].ljust(size + odd + (size + odd) % 2, b"\0")
        raw = np.frombuffer(words, np.uint8).reshape(-1, 2)[:, ::-1].ravel()[odd : odd + size]
    else:
        raw = np.frombuffer(data, np.uint8, size, at)
    kind = "i" if pixels.signed else "u"
    return raw.view(f"{order}{kind}{item}").reshape(shape).astype(f"{kind}{item}")


def pixel_value(data: bytes, pixels: PixelFormat) -> tuple[int, int | None]:
    """(where the pixel data's value begins, its stated length); the length None if the file ends before."""
    begin = (pixels.start or 0) + (8 if pixels.transfer_syntax == ImplicitVRLittleEndian else 12)
    if len(data) < begin:
        return begin, None
    order = ">" if pixels.transfer_syntax == ExplicitVRBigEndian else "<"
    (length,) = struct.unpack_from(f"{order}I", data, begin - 4)
    return begin, int(length)


def _checked_value(data: bytes, pixels: PixelFormat) -> tuple[int, int]:
    begin, length = pixel_value(data, pixels)
    if length is None:
        raise ScanError("bad_pixels", "a file ends where its pixel data begins")
    if length == 0:
        raise ScanError("no_pixels", "files of the series carry no pixel data")
    return begin, length


def _encoded_frames(data: bytes, pixels: PixelFormat) -> list[bytes]:
    """The codestream of each frame of a file (PS3.5 A.4)."""
    at, length = _checked_value(data, pixels)
    end = len(data) if length == UNDEFINED_LENGTH else min(len(data), at + length)
    items = _items(data, at, end, delimited=length == UNDEFINED_LENGTH)
    table, fragments = items[:1], items[1:]
    if not any(stop > begin for begin, stop in fragments):
        raise ScanError("no_pixels", "files of the series carry no pixel data")
    if pixels.frames == 1:
        return [b"".join(data[begin:stop] for begin, stop in fragments)]
    if len(fragments) == pixels.frames:
        return [data[begin:stop] for begin, stop in fragments]
    if len(fragments) < pixels.frames:
        detail = f"compressed pixels are {len(fragments)} fragments, the header says {pixels.frames} frames"
        raise ScanError("bad_pixels", detail)
    begin, stop = table[0]
    n_offsets = (stop - begin) // 4
    offsets = struct.unpack_from(f"<{n_offsets}I", data, begin) if n_offsets == pixels.frames else ()
    # offsets are those of items' tags, counted from the first after the table
    firsts = {start - 8 - stop: place for place, (start, _) in enumerate(fragments)}
    if not offsets or sorted(set(offsets)) != list(offsets) or offsets[0] != 0:
        raise ScanError("bad_pixels", "compressed frames of several fragments have no table of offsets")
    if not firsts.keys() >= set(offsets):
        raise ScanError("bad_pixels", "the table of compressed frames does not fit their fragments")
    bounds = [*(firsts[offset] for offset in offsets), len(fragments)]
    return [
        b"".join(data[begin:stop] for begin, stop in fragments[low:high]) for low, high in pairwise(bounds)
    ]


def _items(data: bytes, at: int, end: int, delimited: bool) -> list[tuple[int, int]]:
    """(begin, end) of each item's value, the table of offsets first."""
    found: list[tuple[int, int]] = []
    while at + 8 <= end:
        tag, length = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0]
        if tag == b"\xfe\xff\xdd\xe0" and delimited:
            return found
        if tag != b"\xfe\xff\x00\xe0":
            raise ScanError("bad_pixels", "compressed pixels are not a sequence of fragments")
        if length > end - at - 8:
            break
        if len(found) > MAX_FRAGMENTS:
            raise ScanError("too_large", f"compressed pixels are more than {MAX_FRAGMENTS} fragments")
        found.append((at + 8, at + 8 + length))
        at += 8 + length
    if delimited or at != end:
        raise ScanError("bad_pixels", "a file ends within its compressed pixels")
    return found


def _decoded(encoded: bytes, pixels: PixelFormat) -> tuple[npt.NDArray[np.integer], bool]:
    if pixels.transfer_syntax != RLELossless:
        return decode(encoded, pixels), False
    with quiet_pydicom() as caught:
        return decode(encoded, pixels), bool(caught)


def _stored_bits(pixels: PixelFormat) -> tuple[int, int]:
    stored = pixels.bits_stored if pixels.bits_stored is not None else pixels.bits_allocated or 0
    return stored, pixels.high_bit if pixels.high_bit is not None else stored - 1


def _cleared(array: npt.NDArray[np.integer], pixels: PixelFormat, shifted: bool) -> npt.NDArray[np.integer]:
    """Keep the stored bits only: scanners have put overlays and other matter into the rest."""
    stored, high_bit = _stored_bits(pixels)
    shift = high_bit - stored + 1 if shifted else 0
    if stored == 8 * array.dtype.itemsize:
        return array
    bits = (array.astype(np.int64) >> shift) & ((1 << stored) - 1)
    if pixels.signed:
        sign = 1 << (stored - 1)
        bits = (bits ^ sign) - sign
    return bits
