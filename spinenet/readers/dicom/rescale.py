"""Converts stored pixels to intensities: rescaled, with MONOCHROME1 inverted."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spinenet.readers.dicom.frames import PixelFormat


def rescaled(
    stored: npt.NDArray[np.integer], pixels: PixelFormat, noted: set[str]
) -> npt.NDArray[np.floating]:
    """Convert stored pixels to intensities.

    Parameters
    ----------
    stored
        Pixels as stored.
    pixels
        Their format; an invalid slope or intercept is not applied.
    noted
        Output: gets the codes of :data:`spinenet.readers.dicom.facts.FLAGS` that apply.
    """
    if pixels.photometric == "MONOCHROME1":
        noted.add("monochrome1")
        # inverting the stored range: its ends add up to 2^bits - 1, or to -1 if signed
        top = -1 if pixels.signed else (1 << (pixels.bits_stored or pixels.bits_allocated or 0)) - 1
        stored = top - stored.astype(np.int64)
    if not pixels.slope or pixels.intercept is None or not _fits(stored, pixels.slope, pixels.intercept):
        noted.add("rescale_ignored")
        return stored.astype(np.float32)
    if (pixels.slope, pixels.intercept) == (1.0, 0.0):
        return stored.astype(np.float32)
    return stored * pixels.slope + pixels.intercept


def _fits(stored: npt.NDArray[np.integer], slope: float, intercept: float) -> bool:
    """Whether the rescaled values are float32 numbers."""
    most = max(abs(int(stored.min())), abs(int(stored.max())))
    return bool(abs(slope) * most + abs(intercept) < np.finfo(np.float32).max)
