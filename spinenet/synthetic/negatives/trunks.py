"""Heads, bellies and chests in planes or views that show no spine."""

from __future__ import annotations

import numpy as np

from spinenet.synthetic.canvas import Canvas, ellipse
from spinenet.synthetic.negatives.shapes import Painter, bone, cut, ellipsoid
from spinenet.synthetic.tissues import Tissues


def head(rng: np.random.Generator, tissues: Tissues) -> Painter:
    """A head above the neck: scalp, skull, brain with its folds and ventricle, cerebellum, stem, face."""
    size, nod = rng.normal(1, 0.06), rng.normal(0, 0.12)
    folds = np.column_stack(
        [rng.uniform(0, 2 * np.pi, 60), rng.uniform(0.62, 0.98, 60), rng.normal(0, 0.5, 60)]
    )
    face = rng.uniform((-100, 20, 4, 4), (-55, 100, 16, 14), (14, 4))
    shades = rng.uniform(0, 1, 14)
    grey, white = tissues.cord * rng.uniform(0.9, 1.2), tissues.cord * rng.uniform(0.75, 1.1)

    def paint(canvas: Canvas, x: float) -> None:
        share = cut(x, 0, 78 * size)
        if share == 0:
            return
        s = size * share
        low, high = tissues.organ
        canvas.polygon(
            np.array([(-98, 0), (-100, 110), (-45, 128), (-10, 150), (55, 150), (70, 20)]) * s, tissues.muscle
        )
        for (y, z, ry, rz), shade in zip(face, shades, strict=True):
            canvas.ellipse((y * s, z * s), (ry, rz), 10.0 if shade < 0.35 else low + (high - low) * shade)
        middle = (0.0, -20.0 * s)
        for grow, value in (
            (10, tissues.fat),
            (5, tissues.cortex),
            (2.5, tissues.marrow),
            (1, tissues.cortex),
        ):
            canvas.ellipse(middle, (92 * s + grow, 72 * s + grow), value, nod)
        canvas.ellipse(middle, (92 * s, 72 * s), tissues.csf, nod)
        canvas.ellipse(middle, (88 * s, 68 * s), grey, nod)
        canvas.ellipse(middle, (66 * s, 47 * s), white, nod)
        for angle, reach, bend in folds:
            out = np.array([np.cos(angle) * 88, np.sin(angle) * 68]) * s
            line = [out * 1.0 + middle, out * reach * 0.9 + middle, out * reach * 0.8 + middle + bend * 8]
            canvas.line(line, tissues.csf * 0.8, 1.6)
        ellipsoid(canvas, x, (0, middle[0], middle[1] + 4), (22, 34 * s, 9 * s), tissues.csf, nod)
        if abs(x) < 25:
            canvas.line([(-30 * s, -28 * s), (0, -38 * s), (32 * s, -22 * s)], white * 1.15, 6)
        ellipsoid(canvas, x, (0, 44 * s, 38 * s), (48, 28 * s, 22 * s), grey)
        for k in range(5):
            canvas.line([(20 * s, 34 * s), (66 * s, (20 + 9 * k) * s)], tissues.csf * 0.6, 1.0)
        ellipsoid(canvas, x, (0, 8 * s, 40 * s), (18, 13 * s, 18 * s), white)
        if abs(x) < 12:
            canvas.line([(10 * s, 30 * s), (22 * s, 150 * s)], white, 13)

    return paint


def belly(rng: np.random.Generator, tissues: Tissues) -> Painter:
    """A belly beside the spine: liver, kidney, bowel loops, vessels and fat."""
    loops = rng.uniform((-95, -90, -40, 7, 7), (20, 130, 40, 20, 20), (45, 5))
    chain = rng.uniform(9, 15)
    shades, angles = rng.uniform(*tissues.organ, 45), rng.uniform(0, 3, 45)
    kidney = rng.uniform((30, -10, 20, 42), (70, 50, 30, 58))
    belly_fat = rng.uniform(8, 40)
    stool = rng.uniform(*tissues.organ, 12)

    def paint(canvas: Canvas, x: float) -> None:
        canvas.ellipse((0, 0), (120 + belly_fat, 320), tissues.fat)
        canvas.ellipse((0, 0), (118, 310), tissues.muscle)
        canvas.ellipse((-6, 0), (104, 300), tissues.fat * 0.95)
        ellipsoid(canvas, x, (30, -15, -110), (110, 88, 68), tissues.muscle * 1.5, 0.2)
        for (y, z, x0, ry, rz), shade, angle in zip(loops, shades, angles, strict=True):
            ellipsoid(canvas, x, (x0, y, z), (24, ry, rz), tissues.muscle, angle)
            ellipsoid(canvas, x, (x0, y, z), (22, ry - 2.5, rz - 2.5), shade, angle)
        # a colon that runs down with its pouches one below the other: of all bowel it is most like a column
        for k, shade in enumerate(stool):
            place = (0.0, 62.0 + 6 * np.sin(k), -60.0 + k * 2 * chain)
            ellipsoid(canvas, x, place, (30, 19, chain), tissues.ligament)
            ellipsoid(canvas, x, place, (28, 17, chain - 1.5), shade)
        y, z, ry, rz = kidney
        ellipsoid(canvas, x, (10, y, z), (28, ry, rz), tissues.organ[1], -0.2)
        ellipsoid(canvas, x, (10, y, z), (18, ry * 0.45, rz * 0.6), tissues.fat, -0.2)
        for k in range(6):
            centre = (10.0, y + ry * 0.6 * (-1) ** k, z + (k - 2.5) * rz * 0.28)
            ellipsoid(canvas, x, centre, (22, 6, 7), tissues.organ[0] * 1.4)

    return paint


def chest(rng: np.random.Generator, tissues: Tissues) -> Painter:
    """A chest beside the spine: dark lung, heart, and ribs cut across, one below the other."""
    step, tilt = rng.uniform(19, 30), rng.normal(0, 0.15)
    sizes, shifts = rng.uniform(0.85, 1.15, 12), rng.normal(0, 2, 12)
    lung, heart = rng.uniform(5, 60), rng.uniform(35, 55)
    vessels = rng.uniform((-40, -110, 1.5), (50, 60, 5), (30, 3))
    rib = rng.uniform((5, 7), (8, 13))

    def paint(canvas: Canvas, x: float) -> None:
        canvas.ellipse((0, 10), (125, 280), tissues.fat)
        canvas.ellipse((0, 10), (112, 270), tissues.muscle)
        canvas.ellipse((-4, -20), (84, 140), lung, tilt)
        for y, z, r in vessels:
            canvas.ellipse((y, z), (r, r), tissues.vessel * 2)
        ellipsoid(canvas, x, (0, -42, 30), (60, heart, heart * 0.9), tissues.muscle * 1.3, 0.5)
        ellipsoid(canvas, x, (0, -42, 30), (40, heart * 0.6, heart * 0.5), tissues.organ[1], 0.5)
        ellipsoid(canvas, x, (0, 0, 145), (90, 96, 60), tissues.organ[0] * 1.6)
        for k in range(12):
            z = (k - 5.5) * step
            for side in (-1, 1):
                y = side * 92 * float(np.sqrt(max(0.1, 1 - (z / 210) ** 2))) + shifts[k]
                outline = ellipse((y, z - side * 6), (rib[0] * sizes[k], rib[1] * sizes[k]), side * 0.4, 16)
                bone(canvas, outline, tissues)

    return paint
