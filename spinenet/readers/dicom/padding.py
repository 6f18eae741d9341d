"""Padding: pixels that fill up an image and are no part of the picture (PS3.3 C.7.5.1.1.2)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spinenet.readers.dicom.frames import PixelFormat
from spinenet.readers.dicom.tags import Tags, integer_of


def padding_of(tags: Tags, bits_allocated: int | None, signed: bool) -> tuple[int, int] | None:
    """The range of stored values that mark padding.

    Parameters
    ----------
    tags
        Tags of a frame: PixelPaddingValue (0028,0120), and PixelPaddingRangeLimit (0028,0121) for a range of
        values.
    bits_allocated, signed
        Format of its pixels. Files write -32768 as 32768 and the reverse, so only the bits count.

    Returns
    -------
    tuple or None
        (lowest, highest); None where the file states no padding.
    """
    value, limit = (integer_of(tags, f"PixelPadding{name}") for name in ("Value", "RangeLimit"))
    if value is None or not bits_allocated:
        return None
    ends = [_as_stored(end, bits_allocated, signed) for end in (value, value if limit is None else limit)]
    return min(ends), max(ends)


def _as_stored(value: int, bits: int, signed: bool) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if signed and value >> (bits - 1) else value


def padded_pixels(
    words: npt.NDArray[np.integer], values: npt.NDArray[np.integer], pixels: PixelFormat
) -> npt.NDArray[np.bool_] | None:
    """Which pixels of a frame are padding.

    Parameters
    ----------
    words
        (rows, columns) as they lie in the file, with all bits that are allocated.
    values
        The same with the stored bits only.

    Returns
    -------
    ndarray or None
        (rows, columns); None where there is none.
    """
    if pixels.padding is None:
        return None
    low, high = pixels.padding
    stored = pixels.bits_stored or pixels.bits_allocated or 0
    least, most = (-(1 << (stored - 1)), (1 << (stored - 1)) - 1) if pixels.signed else (0, (1 << stored) - 1)
    # some files pad with a value that needs more bits than are stored
    looked_at = values if least <= low and high <= most else words
    padded: npt.NDArray[np.bool_] = (looked_at >= low) & (looked_at <= high)
    return padded if padded.any() else None


def without_padding(
    volume: npt.NDArray[np.float32], padded: dict[int, npt.NDArray[np.bool_]]
) -> npt.NDArray[np.float32]:
    """Set padding to the lowest value of its slice's picture, which is that of air.

    Intensities are scaled by a slice's minimum and percentiles, which padding must not shift.

    Parameters
    ----------
    volume
        (slices, rows, columns) after rescaling and with the grey scale turned; changed in place.
    padded
        Masks (rows, columns) of the padding, by slice. A slice of padding alone gets the volume's minimum; a
        volume of nothing else stays as it is.
    """
    lowest = {place: _lowest(volume[place], mask) for place, mask in padded.items()}
    whole = [float(volume[place].min()) for place in range(len(volume)) if place not in padded]
    whole += [value for value in lowest.values() if value is not None]
    for place, mask in padded.items():
        fill = lowest[place]
        if fill is not None or whole:
            volume[place][mask] = fill if fill is not None else min(whole)
    return volume


def _lowest(plane: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> float | None:
    picture = plane[~mask]
    return float(picture.min()) if picture.size else None
