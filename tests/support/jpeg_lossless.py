"""A plain encoder of JPEG lossless, process 14 selection value 1 (ITU-T T.81 annex H): none is at hand."""

from __future__ import annotations

import struct

import numpy as np

CODE_LENGTH = 5
"""All 17 categories of differences have codes of one length, which wastes bits and is legal."""


def encode(pixels: np.ndarray) -> bytes:
    """One frame of (rows, columns) unsigned 16-bit pixels as a JPEG stream."""
    bits = []
    for difference in _differences(pixels.astype(np.int64)).ravel():
        category = int(abs(difference)).bit_length() if difference != 32768 else 16
        bits.append(f"{category:0{CODE_LENGTH}b}")
        if 0 < category < 16:
            low = difference if difference > 0 else difference + (1 << category) - 1
            bits.append(f"{low:0{category}b}")
    stream = "".join(bits)
    stream += "1" * (-len(stream) % 8)
    scan = int(stream, 2).to_bytes(len(stream) // 8, "big").replace(b"\xff", b"\xff\x00")
    rows, columns = pixels.shape
    counts = bytes(17 if length == CODE_LENGTH else 0 for length in range(1, 17))
    return b"".join(
        (
            b"\xff\xd8",
            b"\xff\xc3" + struct.pack(">HBHHB3B", 11, 16, rows, columns, 1, 1, 0x11, 0),
            b"\xff\xc4" + struct.pack(">HB", 19 + 17, 0) + counts + bytes(range(17)),
            b"\xff\xda" + struct.pack(">HB2B3B", 8, 1, 1, 0, 1, 0, 0),
            scan,
            b"\xff\xd9",
        )
    )


def _differences(pixels: np.ndarray) -> np.ndarray:
    """From the pixel to the left; in the first column from the one above; modulo 2^16."""
    predicted = np.empty_like(pixels)
    predicted[:, 1:] = pixels[:, :-1]
    predicted[1:, 0] = pixels[:-1, 0]
    predicted[0, 0] = 1 << 15
    wrapped = (pixels - predicted) & 0xFFFF
    signed: np.ndarray = np.where(wrapped > 32768, wrapped - 65536, wrapped)
    return signed
