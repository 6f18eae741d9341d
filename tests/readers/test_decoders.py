"""Compressed frames: bit for bit what was encoded, and never more than the header says."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom.uid import (
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
)

from spinenet.errors import ScanError
from spinenet.readers.dicom.decoders import decode
from spinenet.readers.dicom.frames import PixelFormat

ROWS, COLUMNS = 96, 80


def pixel_format(uid: str, bits: int, signed: bool = False) -> PixelFormat:
    return PixelFormat(
        transfer_syntax=str(uid),
        rows=ROWS,
        columns=COLUMNS,
        samples=1,
        photometric="MONOCHROME2",
        frames=1,
        index=0,
        bits_allocated=8 if bits <= 8 else 16,
        bits_stored=bits,
        high_bit=bits - 1,
        signed=signed,
        slope=1.0,
        intercept=0.0,
        lossy=False,
        start=0,
    )


def image(bits: int, signed: bool = False) -> np.ndarray:
    """Noise over a slope, with the lowest and the highest value side by side."""
    values = np.random.default_rng(bits).integers(0, 1 << bits, (ROWS, COLUMNS)) // 3
    values += np.arange(COLUMNS) * (1 << bits) // (2 * COLUMNS)
    values[0, ::2], values[0, 1::2] = 0, (1 << bits) - 1
    width = 1 if bits <= 8 else 2
    return (values - (1 << bits - 1 if signed else 0)).astype(f"{'i' if signed else 'u'}{width}")


def jpeg_lossless(pixels: np.ndarray, bits: int) -> bytes:
    return bytes(
        imagecodecs.jpeg8_encode(pixels.view(f"u{pixels.itemsize}"), bitspersample=bits, lossless=True)
    )


def jpeg_ls(pixels: np.ndarray, bits: int, near: int = 0) -> bytes:
    return bytes(imagecodecs.jpegls_encode(pixels.view(f"u{pixels.itemsize}"), level=near))


def jpeg_2000(pixels: np.ndarray, bits: int) -> bytes:
    return bytes(
        imagecodecs.jpeg2k_encode(pixels, level=0, reversible=True, codecformat="j2k", bitspersample=bits)
    )


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    ("uid", "encode", "bits"),
    [
        *((JPEGLosslessSV1, jpeg_lossless, bits) for bits in (8, 16)),
        *((JPEGLossless, jpeg_lossless, bits) for bits in (8, 16)),
        *((JPEGLSLossless, jpeg_ls, bits) for bits in (8, 16)),
        *((JPEG2000Lossless, jpeg_2000, bits) for bits in (8, 16)),
    ],
)
def test_lossless_encodings_are_bit_for_bit(
    uid: str, encode: Callable[..., bytes], bits: int, signed: bool
) -> None:
    pixels = image(bits, signed)
    decoded = decode(encode(pixels, bits), pixel_format(uid, bits, signed))
    np.testing.assert_array_equal(decoded, pixels)
    assert decoded.dtype == pixels.dtype


@pytest.mark.parametrize(
    ("uid", "encode"),
    [(JPEGLosslessSV1, jpeg_lossless), (JPEGLSLossless, jpeg_ls), (JPEG2000Lossless, jpeg_2000)],
)
def test_twelve_bits_are_bit_for_bit(uid: str, encode: Callable[..., bytes]) -> None:
    pixels = image(12)
    np.testing.assert_array_equal(decode(encode(pixels, 12), pixel_format(uid, 12)), pixels)


@pytest.mark.parametrize("near", [1, 3])
def test_near_lossless_is_as_near_as_it_says(near: int) -> None:
    pixels = image(12)
    decoded = decode(jpeg_ls(pixels, 12, near), pixel_format(JPEGLSNearLossless, 12))
    assert 0 < np.abs(decoded.astype(int) - pixels).max() <= near


@pytest.mark.parametrize(("uid", "bits"), [(JPEGBaseline8Bit, 8), (JPEGExtended12Bit, 12)])
def test_lossy_jpeg_is_near(uid: str, bits: int) -> None:
    pixels = (np.add.outer(np.arange(ROWS), np.arange(COLUMNS)) << bits - 8).astype(
        np.uint8 if bits == 8 else np.uint16
    )
    encoded = bytes(imagecodecs.jpeg8_encode(pixels, level=98, bitspersample=bits))
    decoded = decode(encoded, pixel_format(uid, bits)).astype(int)
    assert np.abs(decoded - pixels).max() <= 3 << bits - 8


FAKE = b"\xff\x4f\xff\x51" + struct.pack(">HHIIII", 47, 0, COLUMNS, ROWS, 0, 0) + bytes(40)
"""The beginning of a JPEG 2000 image whose size is what the header says."""

REMARK = b"\xff\xfe" + struct.pack(">H", len(FAKE) + 2) + FAKE


def claiming(encoded: bytes, rows: int, columns: int) -> bytes:
    """A JPEG that claims another size, and holds the right one in a remark before it."""
    at = next(i for i in range(len(encoded)) if encoded[i] == 0xFF and encoded[i + 1] in (0xC0, 0xC3, 0xF7))
    size = struct.pack(">2H", rows, columns)
    return encoded[:2] + REMARK + encoded[2 : at + 5] + size + encoded[at + 9 :]


def of_jp2(rows: int, columns: int) -> bytes:
    """A JPEG 2000 file whose remark has the right size, and whose codestream another."""
    stream = bytearray(jpeg_2000(image(16), 16))
    struct.pack_into(">2I", stream, 8, columns, rows)
    signature = struct.pack(">I4s4B", 12, b"jP  ", 0x0D, 0x0A, 0x87, 0x0A)
    remark = struct.pack(">I4s", 8 + len(FAKE), b"xml ") + FAKE
    return signature + remark + struct.pack(">I4s", 0, b"jp2c") + bytes(stream)


def precincts() -> bytes:
    """A JPEG 2000 image in precincts of one pixel."""
    stream = jpeg_2000(image(16), 16)
    at = stream.index(b"\xff\x52")
    (length,) = struct.unpack_from(">H", stream, at + 2)
    levels = stream[at + 9]
    style = bytearray(stream[at : at + 2 + length] + bytes(levels + 1))
    struct.pack_into(">H", style, 2, length + levels + 1)
    style[4] |= 1
    big = bytearray(stream[:at] + bytes(style) + stream[at + 2 + length :])
    struct.pack_into(">2I", big, 8, 2000, 2000)
    struct.pack_into(">2I", big, 24, 2000, 2000)
    return bytes(big)


HIDDEN: dict[str, tuple[str, bytes]] = {
    "JPEG lossless": (JPEGLosslessSV1, claiming(jpeg_lossless(image(16), 16), 65500, 65500)),
    "JPEG baseline": (JPEGBaseline8Bit, claiming(bytes(imagecodecs.jpeg8_encode(image(8))), 65500, 65500)),
    "JPEG-LS": (JPEGLSLossless, claiming(jpeg_ls(image(16), 16), 65500, 65500)),
    "JPEG 2000 in a file": (JPEG2000Lossless, of_jp2(40000, 40000)),
    "JPEG 2000 in tiny pieces": (JPEG2000Lossless, precincts()),
    "JPEG of two sizes": (
        JPEGLosslessSV1,
        REMARK.join((b"\xff\xd8", b""))
        + b"\xff\xc3"
        + struct.pack(">HBHHBBBB", 11, 16, ROWS, COLUMNS, 1, 1, 17, 0)
        + claiming(jpeg_lossless(image(16), 16), 65500, 65500)[2:],
    ),
    "progressive JPEG": (
        JPEGBaseline8Bit,
        bytes(imagecodecs.jpeg8_encode(image(8))).replace(b"\xff\xc0", b"\xff\xc2", 1),
    ),
    "JPEG 2000 of many components": (
        JPEG2000Lossless,
        (lambda s: s[:40] + struct.pack(">H", 16000) + s[42:])(jpeg_2000(image(16), 16)),
    ),
    "another kind of image": (JPEGLSLossless, jpeg_2000(image(16), 16)),
    "nothing": (JPEG2000Lossless, b""),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_a_codestream_that_claims_another_image_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    uid, encoded = HIDDEN[name]

    def forbidden(*arguments: Any, **keywords: Any) -> None:
        raise AssertionError("the decoder was asked")

    for decoder in ("jpeg8_decode", "jpegls_decode", "jpeg2k_decode"):
        monkeypatch.setattr(imagecodecs, decoder, forbidden)
    with pytest.raises(ScanError, match=r"^bad_pixels") as caught:
        decode(encoded, pixel_format(uid, 8 if uid == JPEGBaseline8Bit else 16))
    assert "\n" not in caught.value.detail


@pytest.mark.parametrize(
    ("uid", "encode"),
    [(JPEGLosslessSV1, jpeg_lossless), (JPEGLSLossless, jpeg_ls), (JPEG2000Lossless, jpeg_2000)],
)
def test_damaged_streams_come_back(uid: str, encode: Callable[..., bytes]) -> None:
    dice, whole = random.Random(3), encode(image(16), 16)
    told: set[str | tuple[int, ...]] = set()
    for _ in range(200):
        data = bytearray(whole)
        for _ in range(dice.choice((1, 3, 10))):
            data[dice.randrange(dice.choice((120, len(data))))] = dice.randrange(256)
        if dice.random() < 0.3:
            del data[dice.randrange(len(data)) :]
        try:
            told.add(decode(bytes(data), pixel_format(uid, 16)).shape)
        except ScanError as error:
            told.add(error.reason)
    assert told == {"bad_pixels", (ROWS, COLUMNS)}


WITHOUT_OTHERS = """
import sys
BLOCKED = {"libjpeg", "pylibjpeg", "openjpeg", "gdcm", "jpeg_ls", "rle"}

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Block())
sys.path[:0] = PATH
from test_decoders import *
kinds = ((JPEGLosslessSV1, jpeg_lossless), (JPEGLSLossless, jpeg_ls), (JPEG2000Lossless, jpeg_2000))
for uid, encode in kinds:
    test_lossless_encodings_are_bit_for_bit(uid, encode, 16, True)
from test_pixels import decode as read
for name in ("MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm"):
    np.testing.assert_array_equal(read(name), read("MR_small.dcm"))
assert not BLOCKED & set(sys.modules)
"""


def test_no_other_decoder_is_needed_or_imported() -> None:
    """Those that are installed beside may be under other licences, or end the process on a damaged stream."""
    script = WITHOUT_OTHERS.replace("PATH", repr(sys.path))
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
