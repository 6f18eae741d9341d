"""One frame's pixels: lengths are checked before anything is allocated, values come out as stored."""

from __future__ import annotations

import struct
from io import BytesIO

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from spinenet.errors import ScanError
from spinenet.readers.headers import PixelFormat
from spinenet.readers.tags import quiet_pydicom

_NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
_UNDEFINED_LENGTH = 0xFFFFFFFF
_IMAGE_TAGS = (
    "Rows Columns SamplesPerPixel PhotometricInterpretation NumberOfFrames BitsAllocated BitsStored HighBit"
    " PixelRepresentation PlanarConfiguration PixelData"
)


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
            try:
                available = get_decoder(pixels.transfer_syntax).is_available
            except NotImplementedError:
                available = False
        if not available:
            raise ScanError("unsupported_syntax", f"the transfer syntax is {name[:64]}")
    allocated = pixels.bits_allocated
    if allocated not in (8, 16, 32):
        raise ScanError("unsupported_image", f"pixels of {allocated} bits are not read; 8, 16 and 32 are")
    stored, high_bit = _stored_bits(pixels)
    if not 1 <= stored <= allocated or not stored - 1 <= high_bit < allocated:
        raise ScanError(
            "unsupported_image", f"{stored} bits up to bit {high_bit} do not fit {allocated} bits"
        )


def stored_pixels(data: bytes, pixels: PixelFormat) -> tuple[npt.NDArray[np.integer], bool]:
    """Decode one frame.

    Parameters
    ----------
    data
        The file's bytes, not deflated.
    pixels
        From its header, passed by :func:`check_format`.

    Returns
    -------
    stored
        (rows, columns) integers, unused high bits cleared, before rescaling.
    odd
        Whether the decoder warned.

    Raises
    ------
    ScanError
        no_pixels, bad_pixels or unsupported_image.
    """
    shape = (pixels.rows or 0, pixels.columns or 0)
    if pixels.transfer_syntax in _NATIVE:
        return _cleared(_native(data, pixels, shape), pixels, shifted=True), False
    decoded, odd = _decoded(data, pixels, shape)
    return _cleared(decoded, pixels, shifted=pixels.transfer_syntax == RLELossless), odd


def _native(data: bytes, pixels: PixelFormat, shape: tuple[int, int]) -> npt.NDArray[np.integer]:
    big = pixels.transfer_syntax == ExplicitVRBigEndian
    order = ">" if big else "<"
    start = pixels.start or 0
    skip = 8 if pixels.transfer_syntax == ImplicitVRLittleEndian else 12
    if len(data) < start + skip:
        raise ScanError("bad_pixels", "a file ends where its pixel data begins")
    (length,) = struct.unpack_from(f"{order}I", data, start + skip - 4)
    if length == 0:
        raise ScanError("no_pixels", "files of the series carry no pixel data")
    if length == _UNDEFINED_LENGTH:
        raise ScanError("bad_pixels", "compressed pixels lie under an uncompressed transfer syntax")
    item = (pixels.bits_allocated or 0) // 8
    needed = shape[0] * shape[1] * item
    held = min(length, len(data) - start - skip)
    if held < needed:
        raise ScanError(
            "bad_pixels", f"pixel data holds {held} of the {needed} bytes of {shape[0]} x {shape[1]} pixels"
        )
    raw = np.frombuffer(data, np.uint8, needed, start + skip)
    if big and item == 1 and data[start + 4 : start + 6] == b"OW":
        # bytes lie in 16-bit words, whose order is turned (PS3.5 A.3)
        raw = (
            np.frombuffer(data, np.uint8, needed + needed % 2, start + skip)
            .reshape(-1, 2)[:, ::-1]
            .ravel()[:needed]
        )
    kind = "i" if pixels.signed else "u"
    return raw.view(f"{order}{kind}{item}").reshape(shape).astype(f"{kind}{item}")


def _decoded(
    data: bytes, pixels: PixelFormat, shape: tuple[int, int]
) -> tuple[npt.NDArray[np.integer], bool]:
    with quiet_pydicom() as caught:
        try:
            image = pydicom.dcmread(BytesIO(data), specific_tags=list(_IMAGE_TAGS.split()))
            value = image.get("PixelData")
            if value is None:
                raise ScanError("bad_pixels", "a file ends within its compressed pixels")
            if not value:
                raise ScanError("no_pixels", "files of the series carry no pixel data")
            claimed = codestream_size(get_frame(value, 0, number_of_frames=1))
            if claimed is not None and claimed != shape:
                raise ScanError("bad_pixels", f"compressed pixels are {claimed}, the header says {shape}")
            decoded, _ = get_decoder(pixels.transfer_syntax).as_array(image, index=0, raw=True)
        except ScanError:
            raise
        except (Exception, RecursionError) as error:
            raise ScanError("bad_pixels", f"pixels cannot be decoded ({type(error).__name__})") from None
    if decoded.shape != shape:
        raise ScanError("bad_pixels", f"pixels decode to {decoded.shape}, the header says {shape}")
    return decoded, bool(caught)


def codestream_size(frame: bytes) -> tuple[int, int] | None:
    """(rows, columns) that a JPEG, JPEG-LS or JPEG 2000 frame claims; None where it has no such claim.

    A decoder allocates what the codestream claims, whatever the header says, so this is looked at first.
    """
    at = frame.find(b"\xff\x4f\xff\x51", 0, 1024)
    if at >= 0 and len(frame) >= at + 24:
        right, bottom, left, top = struct.unpack_from(">4I", frame, at + 8)
        return bottom - top, right - left
    at = 2 if frame[:2] == b"\xff\xd8" else len(frame)
    while at + 9 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        # start of frame: SOF0 to SOF15 without DHT, JPG and DAC, and SOF55 of JPEG-LS
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            rows, columns = struct.unpack_from(">2H", frame, at + 5)
            return rows, columns
        at += 1 if marker == 0xFF else 2 + struct.unpack_from(">H", frame, at + 2)[0]
    return None


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
