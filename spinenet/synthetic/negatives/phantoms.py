"""Things of plastic and water: bottles, spheres, grids, and stacked boxes with ghosts."""

from __future__ import annotations

import numpy as np

from spinenet.synthetic.canvas import Canvas
from spinenet.synthetic.negatives.shapes import Painter, box, cut, ellipsoid
from spinenet.synthetic.tissues import Tissues


def bottles(rng: np.random.Generator, tissues: Tissues) -> Painter:
    """Bottles or tubes in a row, upright or lying, filled with one liquid or several."""
    n, lying = int(rng.integers(3, 9)), rng.random() < 0.6
    thick, gap, long = rng.uniform(16, 42), rng.uniform(2, 16), rng.uniform(30, 130)
    fills = rng.uniform(150, 950, n) if rng.random() < 0.6 else np.full(n, rng.uniform(300, 950))
    wobble = rng.normal(0, 0.03, n)

    def paint(canvas: Canvas, x: float) -> None:
        share = cut(x, 0, thick * 0.6)
        for k in range(n):
            at = (k - (n - 1) / 2) * (thick + gap)
            centre = np.array((0, at) if lying else (at, 0))
            size = (long, thick * share) if lying else (thick * share, long)
            neck = (long * 0.18, thick * share * 0.45) if lying else (thick * share * 0.45, long * 0.18)
            if share > 0.2:
                move = np.array((-long * 0.58, 0) if lying else (0, -long * 0.58))
                canvas.polygon(box(centre, size, wobble[k]), fills[k])
                canvas.polygon(box(centre + move, neck, wobble[k]), fills[k])

    return paint


def spheres(rng: np.random.Generator, tissues: Tissues) -> Painter:
    """Spheres in a line or in a grid, in air or in a bath."""
    radius, gap, across = rng.uniform(6, 22), rng.uniform(1, 20), int(rng.choice([1, 1, 3, 5]))
    step, tilt = 2 * radius + gap, rng.normal(0, 0.1)
    values = rng.uniform(100, 950, (15, across))
    bath = rng.uniform(0, 700) if rng.random() < 0.5 else 0.0

    def paint(canvas: Canvas, x: float) -> None:
        if bath:
            canvas.polygon(box((0, 0), (step * across + 60, 15 * step + 30), tilt), bath)
        for k in range(15):
            for j in range(across):
                z, y = (k - 7) * step, (j - (across - 1) / 2) * step
                ellipsoid(canvas, x, (0, y - z * tilt, z), (radius, radius, radius), values[k, j])

    return paint


def grid(rng: np.random.Generator, tissues: Tissues) -> Painter:
    """A quality phantom: a cylinder of liquid with a grid, holes, a wedge and a bubble."""
    radius, length = rng.uniform(60, 100), rng.uniform(50, 95)
    value, step = rng.uniform(400, 950), rng.uniform(9, 26)
    width, holes = rng.uniform(1.0, 5.0), rng.uniform(1, 6, 16)
    round_one = rng.random() < 0.5

    def paint(canvas: Canvas, x: float) -> None:
        share = cut(x, 0, radius)
        if share == 0:
            return
        if round_one:
            canvas.ellipse((0, 0), (radius, radius), value)
        else:
            canvas.polygon(box((0, 0), (2 * length, 2 * radius * share)), value)
        reach = 0.62 * radius
        for k in np.arange(-reach, reach + 1, step):
            canvas.line([(k, -reach), (k, reach)], 40.0, width)
            canvas.line([(-reach, k), (reach, k)], 40.0, width)
        for i, hole in enumerate(holes):
            place = (0.74 * radius * np.cos(i * 0.4), 0.74 * radius * np.sin(i * 0.4))
            canvas.ellipse(place, (hole, hole), 30.0)
        canvas.ellipse((0, -0.9 * radius * share), (radius * 0.25, 4), 0.0)

    return paint


def boxes(rng: np.random.Generator, tissues: Tissues) -> Painter:
    """Boxes stacked one above the other, with the faint copies of them that movement leaves."""
    n = int(rng.integers(4, 12))
    wide, tall = rng.uniform(8, 60), rng.uniform(6, 34)
    gap, tilt = rng.uniform(1, 14), rng.normal(0, 0.06)
    values = rng.uniform(120, 950, n)
    ghosts, period = int(rng.integers(0, 5)), rng.uniform(12, 60)
    shifts = rng.normal(0, rng.uniform(0, 12), n)
    slab = rng.uniform(10, 60)

    def paint(canvas: Canvas, x: float) -> None:
        if abs(x) > slab:
            return
        for ghost in range(ghosts, -1, -1):
            for k in range(n):
                place = (shifts[k] + ghost * period, (k - (n - 1) / 2) * (tall + gap))
                canvas.polygon(box(place, (wide, tall), tilt), values[k] * 0.45**ghost)

    return paint
