"""The square windows that cover a slice, and the patches that the detector reads from them."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from spinenet.errors import ScanError
from spinenet.geometry import warpable
from spinenet.types import ImageArray, Window

PATCH_SIZE = 224
"""Rows and columns of a patch."""

WINDOW_EDGE_MM = 260.0
"""Edge of a window in the patient."""

OVERLAP = 0.4
"""Share of a window that its neighbour covers too."""


def tile(height: int, width: int, spacing_mm: float) -> tuple[tuple[Window, ...], int]:
    """Cover a slice with overlapping windows.

    Parameters
    ----------
    height, width
        Rows and columns of the slice.
    spacing_mm
        Distance between pixel centres, the same in both directions.

    Returns
    -------
    windows
        For each column of windows all its rows; windows at the far edges may repeat each other.
    scale_edge
        Width of the first window: the scale of corner points and arrows of every window.

    Raises
    ------
    ScanError
        Where the slice is too small to hold a window.
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
    """Move a span that ends at or past the last pixel; kept as published: one narrower, last pixel lost."""
    return (start, start + edge) if start + edge < length else (length - edge, length - 1)


def cut_patch(slice_image: ImageArray, window: Window) -> npt.NDArray[np.float32]:
    """Cut one window of a slice, resize it and normalise its grey values.

    Parameters
    ----------
    slice_image
        (H, W), rescale slope and intercept applied.
    window
        Part of the slice.

    Returns
    -------
    ndarray
        (224, 224) float32, the 99 per cent range of grey values one wide, the smallest at 0.
    """
    part = warpable(slice_image[window.top : window.bottom, window.left : window.right])
    patch = cv2.resize(part, (PATCH_SIZE, PATCH_SIZE), interpolation=cv2.INTER_CUBIC)
    patch = np.clip(patch, part.min(), part.max())
    low, high = np.percentile(patch, (0.5, 99.5))
    # numpy's type of a percentile follows the array: measure in float64 as the scale of everything after.
    lowest, spread = float(patch.min()), abs(float(high) - float(low))
    if spread == 0.0:
        spread = float(patch.max()) - lowest
    return np.asarray((patch.astype(np.float64) - lowest) / (spread + 1e-9), dtype=np.float32)
