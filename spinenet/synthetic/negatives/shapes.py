"""Solids cut by a sagittal plane, in millimetres: what joints, organs and phantoms are drawn of.

Points in a section are (y, z): column and row, with (0, 0) in the middle of the image. x is the distance of
the section from the middle of the thing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from spinenet.synthetic.canvas import Canvas, ellipse
from spinenet.synthetic.tissues import Tissues

Points = npt.NDArray[np.float64]
Painter = Callable[[Canvas, float], None]
"""Paints the section at x (mm) onto a canvas, back to front."""

CORTEX_MM = 1.6
"""Thickness of a bone's dark rim."""


def cut(x: float, middle: float, half_width: float) -> float:
    """Share of a round solid's radius that the plane at x cuts; 0 outside."""
    t = (x - middle) / half_width
    return float(np.sqrt(1 - t * t)) if abs(t) < 1 else 0.0


def ellipsoid(
    canvas: Canvas,
    x: float,
    centre: tuple[float, float, float],
    radii: tuple[float, float, float],
    value: float,
    angle: float = 0.0,
) -> None:
    """Paint an ellipsoid; centre and radii as (x, y, z) in mm, ``angle`` in radians within the section."""
    share = cut(x, centre[0], radii[0])
    if share > 0:
        canvas.ellipse(centre[1:], (radii[1] * share, radii[2] * share), value, angle)


def bone(canvas: Canvas, outline: npt.ArrayLike, tissues: Tissues, marrow: float = 1.0) -> None:
    """Paint a bone's closed outline (n, 2): marrow within a dark rim."""
    points = np.asarray(outline, float)
    canvas.polygon(points, tissues.marrow * marrow)
    canvas.line([*points, points[0]], tissues.cortex, CORTEX_MM)


def round_bone(
    canvas: Canvas,
    x: float,
    centre: tuple[float, float, float],
    radii: tuple[float, float, float],
    tissues: Tissues,
    angle: float = 0.0,
) -> None:
    """Paint a rounded bone such as a carpal; as :func:`ellipsoid`."""
    share = cut(x, centre[0], radii[0])
    if share > 0.15:
        bone(canvas, ellipse(centre[1:], (radii[1] * share, radii[2] * share), angle), tissues)


def shaft(start: npt.ArrayLike, end: npt.ArrayLike, widths: tuple[float, float, float]) -> Points:
    """Outline (n, 2) of a long bone from ``start`` to ``end``; widths at its start, waist and end in mm."""
    a, b = np.asarray(start, float), np.asarray(end, float)
    along = (b - a) / max(float(np.linalg.norm(b - a)), 1e-9)
    across = np.array([along[1], -along[0]])
    t = np.linspace(0, 1, 13)
    half = np.interp(t, [0, 0.28, 0.72, 1], [widths[0], widths[1], widths[1], widths[2]]) / 2
    half[[0, -1]] *= 0.72
    axis = a + t[:, None] * (b - a)
    return np.concatenate([axis + across * half[:, None], (axis - across * half[:, None])[::-1]])


def box(centre: npt.ArrayLike, size: tuple[float, float], angle: float = 0.0) -> Points:
    """(4, 2) corners of a rectangle of (y, z) size in mm, turned by ``angle`` radians."""
    y, z = size[0] / 2, size[1] / 2
    c, s = np.cos(angle), np.sin(angle)
    corners = np.array([[y, -z], [y, z], [-y, z], [-y, -z]]) @ np.array([[c, s], [-s, c]])
    return np.asarray(np.asarray(centre, float) + corners, float)
