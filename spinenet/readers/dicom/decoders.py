"""Decodes compressed frames; docs/decoders.md explains the choice of libraries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from spinenet.errors import ScanError
from spinenet.readers.dicom.codestreams import Codestream, jpeg, jpeg_2000
from spinenet.readers.dicom.frames import PixelFormat
from spinenet.storage.causes import scan_error

_BASELINE, _EXTENDED, _LOSSLESS, _JPEG_LS = 0xC0, 0xC1, 0xC3, 0xF7
_PROCESSES: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        str(JPEGBaseline8Bit): (_BASELINE,),
        str(JPEGExtended12Bit): (_BASELINE, _EXTENDED),
        str(JPEGLossless): (_LOSSLESS,),
        str(JPEGLosslessSV1): (_LOSSLESS,),
        str(JPEGLSLossless): (_JPEG_LS,),
        str(JPEGLSNearLossless): (_JPEG_LS,),
        **{str(uid): (0,) for uid in (JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K)},
        str(RLELossless): (),
    }
)
"""Processes that a codestream may have, by transfer syntax. Progressive JPEG is not among them: a few bytes
of it make a decoder pass over the whole image once more."""

_END_OF_IMAGE = b"\xff\xd9"
_RLE_GAIN = 64
"""Most bytes of pixels that a byte of RLE can encode: 128 by 2 (PS3.5 G.3.1)."""


def is_decoded(transfer_syntax: str) -> bool:
    """Whether compressed pixels of a transfer syntax are read."""
    return transfer_syntax in _PROCESSES


def decode(encoded: bytes, pixels: PixelFormat) -> npt.NDArray[np.integer]:
    """Decode one frame, after a check that its codestream agrees with the DICOM header.

    Returns
    -------
    ndarray
        (rows, columns) integers of the allocated width, with the sign that the header states.

    Raises
    ------
    ScanError
        bad_pixels.
    """
    shape, allocated = (pixels.rows or 0, pixels.columns or 0), pixels.bits_allocated or 0
    if pixels.transfer_syntax == RLELossless:
        if len(encoded) * _RLE_GAIN < shape[0] * shape[1] * allocated // 8:
            raise ScanError("bad_pixels", f"compressed pixels are too short for {shape[0]} x {shape[1]}")
        return _checked(lambda: _run_lengths(encoded, pixels), shape)
    processes = _PROCESSES[pixels.transfer_syntax]
    stream = (jpeg_2000 if processes == (0,) else jpeg)(encoded)
    if stream.process not in processes:
        raise ScanError("bad_pixels", "compressed pixels are not of the kind that the transfer syntax names")
    if (stream.rows, stream.columns) != shape:
        claimed = (stream.rows, stream.columns)
        raise ScanError("bad_pixels", f"compressed pixels are {claimed}, the header says {shape}")
    if stream.components != 1 or not 1 <= stream.bits <= allocated:
        detail = (
            f"compressed pixels are {stream.components} x {stream.bits} bits, the header says {allocated}"
        )
        raise ScanError("bad_pixels", detail)
    decoded = _checked(lambda: _by_imagecodecs(stream), shape)
    width = np.dtype(f"u{allocated // 8}")
    # the DICOM header decides the sign; a codestream with another sign holds the same bits
    return decoded.astype(f"i{allocated // 8}").view(f"i{allocated // 8}" if pixels.signed else width)


def _by_imagecodecs(stream: Codestream) -> Any:
    import imagecodecs

    if stream.process == _JPEG_LS:
        # CharLS does not return from a stream that ends without this marker
        return imagecodecs.jpegls_decode(stream.data + _END_OF_IMAGE)
    if stream.process:
        return imagecodecs.jpeg8_decode(stream.data)
    # workers already read several scans in parallel
    return imagecodecs.jpeg2k_decode(stream.data, numthreads=1)


def _run_lengths(encoded: bytes, pixels: PixelFormat) -> npt.NDArray[np.integer]:
    options: dict[str, Any] = {
        "rows": pixels.rows,
        "columns": pixels.columns,
        "samples_per_pixel": 1,
        "photometric_interpretation": pixels.photometric or "MONOCHROME2",
        "bits_allocated": pixels.bits_allocated,
        "bits_stored": pixels.bits_stored or pixels.bits_allocated,
        "pixel_representation": int(pixels.signed),
        "number_of_frames": 1,
        "pixel_keyword": "PixelData",
    }
    decoder = get_decoder(RLELossless)
    decoded, _ = decoder.as_array(
        encapsulate([encoded]), index=0, raw=True, decoding_plugin="pydicom", **options
    )
    return decoded


def _checked(run_decoder: Callable[[], Any], shape: tuple[int, int]) -> npt.NDArray[np.integer]:
    try:
        decoded = np.asarray(run_decoder())
    except (Exception, RecursionError) as error:
        broken = ScanError("bad_pixels", f"pixels cannot be decoded ({type(error).__name__})")
        raise scan_error(error) or broken from None
    if decoded.shape != shape or decoded.dtype.kind not in "iu":
        raise ScanError("bad_pixels", f"pixels decode to {decoded.shape}, the header says {shape}")
    return decoded
