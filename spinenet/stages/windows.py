"""Covers a slice with square windows, and cuts the detector's input patches from them."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from spinenet.errors import ScanError
from spinenet.geometry import warpable
from spinenet.networks.shapes import PATCH_SIZE
from spinenet.types import ImageArray, Window

WINDOW_EDGE_MM = 260.0
"""Edge length of a window in mm (arXiv:2007.02606, detection)."""

OVERLAP = 0.4
"""Share of a window's edge that overlaps with the next window (arXiv:2007.02606, detection)."""


def tile(height: int, width: int, spacing_mm: float) -> tuple[tuple[Window, ...], int]:
    """Cover a slice with overlapping windows.

    Parameters
    ----------
    height, width
        Numbers of rows and columns of the slice.
    spacing_mm
        Distance between pixel centres in mm, the same in both directions.

    Returns
    -------
    windows
        Windows column by column, each from top to bottom; those at the far edges may be equal.
    scale_edge
        Width of the first window in pixels, which scales the corner points and arrows of every window.

    Raises
    ------
    ScanError
        too_small, if no window fits in the slice.
    """
    edge = int(WINDOW_EDGE_MM / spacing_mm) if spacing_mm > 0 else 0
    if edge > min(height, width):
        edge = min(height, width) - 1
    step = int(edge * (1 - OVERLAP))
    if edge < 2 or step < 1:
        size = f"{height} x {width} pixels of {spacing_mm:.3g} mm"
        raise ScanError("too_small", f"a slice of {size} cannot hold a window")
    windows = tuple(
        Window(top, bottom, left, right)
        for left, right in _spans(width, edge, step)
        for top, bottom in _spans(height, edge, step)
    )
    return windows, windows[0].width


def _spans(length: int, edge: int, step: int) -> list[tuple[int, int]]:
    return [_within(i * step, edge, length) for i in range(length // step + 1)]


def _within(start: int, edge: int, length: int) -> tuple[int, int]:
    """Move a span that ends at or past the last pixel inside; as published, it loses that pixel."""
    return (start, start + edge) if start + edge < length else (length - edge, length - 1)


def cut_patch(slice_image: ImageArray, window: Window) -> npt.NDArray[np.float32]:
    """Cut a window from a slice, resize it and normalise its intensities.

    Parameters
    ----------
    slice_image
        (H, W) intensities, after rescale slope and intercept.
    window
        The window.

    Returns
    -------
    ndarray
        (224, 224) float32: minimum 0, the percentiles 0.5 and 99.5 a distance of 1 apart.
    """
    part = warpable(slice_image[window.top : window.bottom, window.left : window.right])
    patch = cv2.resize(part, (PATCH_SIZE, PATCH_SIZE), interpolation=cv2.INTER_CUBIC)
    patch = np.clip(patch, part.min(), part.max())
    low, high = np.percentile(patch, (0.5, 99.5))
    # NumPy's percentiles have the array's type; the subtraction below needs float64
    lowest, spread = float(patch.min()), abs(float(high) - float(low))
    if spread == 0.0:
        spread = float(patch.max()) - lowest
    return np.asarray((patch.astype(np.float64) - lowest) / (spread + 1e-9), dtype=np.float32)
