"""Draws shapes given in millimetres onto a supersampled sagittal slice."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

SUPERSAMPLING = 2
_SHIFT = 4


class Canvas:
    """A slice of tissue signal.

    Parameters
    ----------
    rows, columns
        Size of the slice in pixels.
    pixel_spacing
        (row, column) mm.
    origin
        (y, z) mm of the centre of pixel (0, 0); y runs along columns, z along rows.
    """

    def __init__(
        self, rows: int, columns: int, pixel_spacing: tuple[float, float], origin: tuple[float, float]
    ) -> None:
        self.signal = np.zeros((rows * SUPERSAMPLING, columns * SUPERSAMPLING), np.float32)
        self._scale = np.array([SUPERSAMPLING / pixel_spacing[1], SUPERSAMPLING / pixel_spacing[0]])
        self._origin = np.asarray(origin, float)

    def _pixels(self, points: npt.ArrayLike) -> npt.NDArray[np.int32]:
        """(n, 2) mm to fixed-point supersampled pixels, counted from the centre of the first one."""
        place = (np.asarray(points, float) - self._origin) * self._scale + SUPERSAMPLING / 2 - 0.5
        fixed: npt.NDArray[np.int32] = np.round(np.clip(place, -4000, 4000) * (1 << _SHIFT)).astype(np.int32)
        return fixed

    def polygon(self, points: npt.ArrayLike, value: float) -> None:
        """Fill a polygon of (y, z) points with a signal value."""
        cv2.fillPoly(self.signal, [self._pixels(points)], float(value), shift=_SHIFT)

    def line(self, points: npt.ArrayLike, value: float, width_mm: float) -> None:
        """Draw an open line of (y, z) points."""
        width = max(1, round(width_mm * float(self._scale.mean())))
        cv2.polylines(self.signal, [self._pixels(points)], False, float(value), width, shift=_SHIFT)

    def ellipse(
        self, centre: npt.ArrayLike, radii: tuple[float, float], value: float, angle: float = 0.0
    ) -> None:
        """Fill an ellipse; radii in mm along (y, z) before turning by ``angle`` radians."""
        self.polygon(ellipse(centre, radii, angle), value)

    def downsampled(self) -> npt.NDArray[np.float32]:
        """(rows, columns) float32: mean over the supersamples, partial volume in plane."""
        rows, columns = (n // SUPERSAMPLING for n in self.signal.shape)
        return np.asarray(cv2.resize(self.signal, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)


def ellipse(
    centre: npt.ArrayLike, radii: tuple[float, float], angle: float = 0.0, n: int = 28
) -> npt.NDArray[np.float64]:
    """(n, 2) points on an ellipse, mm."""
    t = np.linspace(0, 2 * np.pi, n, endpoint=False)
    y, z = radii[0] * np.cos(t), radii[1] * np.sin(t)
    c, s = np.cos(angle), np.sin(angle)
    points: npt.NDArray[np.float64] = np.asarray(centre, float) + np.stack(
        [c * y - s * z, s * y + c * z], axis=1
    )
    return points
