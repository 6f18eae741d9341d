"""Knees, hips, hands and feet: long bones, round ones, and rows of small ones."""

from __future__ import annotations

import numpy as np

from spinenet.synthetic.canvas import Canvas
from spinenet.synthetic.negatives.shapes import Painter, Points, bone, cut, ellipsoid, round_bone, shaft
from spinenet.synthetic.tissues import Tissues


def _turned(points: Points, angle: float) -> Points:
    """Points (n, 2) turned about (0, 0) by an angle in radians."""
    c, s = np.cos(angle), np.sin(angle)
    return np.asarray(points @ np.array([[c, s], [-s, c]]), float)


def knee(rng: np.random.Generator, tissues: Tissues) -> Painter:
    """A knee: femur with its condyles, tibia, patella, menisci, cartilage, fat pad and tendons."""
    size, bend, tilt = rng.normal(1, 0.08), rng.uniform(-0.1, 0.5), rng.normal(0, 0.08)
    marrow, effusion = rng.uniform(0.8, 1.3), rng.random() < 0.5
    gap = rng.uniform(2.5, 6.0)

    def paint(canvas: Canvas, x: float) -> None:
        s = size
        wide = cut(x, 0, 62 * s)
        canvas.line(_turned(np.array([(5, -170), (0, 0), (10, 170)]), tilt), tissues.fat, 2 * 62 * s * wide)
        canvas.line(_turned(np.array([(22, -170), (18, 0), (22, 170)]), tilt), tissues.muscle, 70 * s * wide)
        condyle = max(cut(x, -23 * s, 19 * s), cut(x, 23 * s, 19 * s))
        axis = np.array([np.sin(bend), -np.cos(bend)]) * 160 * s
        near = cut(x, 0, 46 * s)
        femur = shaft(axis + np.array([-4, -18 * s]), (0, -14 * s), (30 * s, 30 * s, 60 * s * max(near, 0.3)))
        if near > 0.3:
            bone(canvas, _turned(femur, tilt), tissues, marrow)
        radius = (27 * s * condyle, 25 * s * condyle)
        if condyle > 0.2:
            canvas.ellipse((2, -24 * s), (radius[0] + 3, radius[1] + 3), tissues.nucleus[1] * 0.7)
            canvas.ellipse((2, -24 * s), (radius[0] + 0.8, radius[1] + 0.8), tissues.cortex)
            canvas.ellipse((2, -24 * s), (radius[0] - 0.8, radius[1] - 0.8), tissues.marrow * marrow)
        if near > 0.25:
            tibia = shaft((2, gap), (8, 165 * s), (58 * s * near, 28 * s, 30 * s))
            bone(canvas, _turned(tibia, tilt), tissues, marrow)
        for side in (-1, 1):
            if condyle > 0.4:
                rim = side * 22 * s
                canvas.polygon([(rim, -3), (rim, gap), (side * 9, gap)], tissues.ligament)
        if effusion:
            ellipsoid(canvas, x, (0, -30 * s, -52 * s), (30, 6, 24), tissues.csf)
        front = -34 * s
        ellipsoid(canvas, x, (0, front + 6, -2), (24, 13, 18), tissues.fat)
        canvas.line([(front, -150 * s), (front - 8, -46 * s)], tissues.ligament, 5)
        canvas.line([(front - 8, -22 * s), (front + 6, 32 * s)], tissues.ligament, 4)
        round_bone(canvas, x, (0, front - 6, -34 * s), (21 * s, 10 * s, 20 * s), tissues)

    return paint


def hip(rng: np.random.Generator, tissues: Tissues) -> Painter:
    """A hip in a plane beside the spine: femoral head in its socket, iliac wing, buttock, bladder, bowel."""
    size, tilt = rng.normal(1, 0.08), rng.normal(0.2, 0.15)
    loops = rng.uniform((-95, -150, -30, 7, 7), (-25, -20, 30, 18, 20), (14, 5))
    shades = rng.uniform(*tissues.organ, 14)
    bladder = rng.uniform(15, 42)

    def paint(canvas: Canvas, x: float) -> None:
        s = size
        canvas.ellipse((0, 0), (125 * s, 260 * s), tissues.fat)
        canvas.ellipse((15, 10), (98 * s, 230 * s), tissues.muscle)
        canvas.line([(25, -140), (40, -40), (38, 150)], tissues.fat, 3)
        for (y, z, x0, ry, rz), shade in zip(loops, shades, strict=True):
            ellipsoid(canvas, x, (x0, y, z), (25, ry, rz), tissues.ligament)
            ellipsoid(canvas, x, (x0, y, z), (22, ry - 2.5, rz - 2.5), shade)
        ellipsoid(canvas, x, (20, -62, 25), (40, bladder, bladder * 1.1), tissues.csf)
        wing = np.array([(-20, -125), (18, -140), (38, -100), (25, -40), (30, -8), (-28, -8), (-22, -50)]) * s
        bone(canvas, _turned(wing, tilt), tissues)
        head = cut(x, 0, 26 * s)
        if head > 0.15:
            canvas.ellipse((0, 12), (28 * s * head, 28 * s * head), tissues.csf)
            bone(canvas, shaft((4, 12), (16, 150 * s), (44 * s * head, 32 * s, 34 * s)), tissues)
            round_bone(canvas, x, (0, 0, 12), (26 * s, 25 * s, 25 * s), tissues)
        ellipsoid(canvas, x, (0, 24, 92), (30, 18, 22), tissues.marrow)

    return paint


def hand(rng: np.random.Generator, tissues: Tissues) -> Painter:
    """A hand or forefoot: carpals in two rows, then rays of a metacarpal and three phalanges each."""
    size, turn = rng.uniform(0.8, 1.3), float(rng.choice([0.0, 0.0, np.pi / 2, np.pi])) + rng.normal(0, 0.15)
    fan = rng.normal(0.12, 0.03)
    carpals = [
        (i * 15 - 22 + rng.normal(0, 1.5), z + rng.normal(0, 1.5), *rng.uniform(6, 9, 2))
        for z in (6, 21)
        for i in range(4)
    ]
    lengths = np.array([46, 30, 20, 14]) * rng.normal(1, 0.06, (5, 4))
    depth = rng.uniform(7, 12)

    def paint(canvas: Canvas, x: float) -> None:
        s, thick = size, cut(x, 0, depth * size * 1.8)
        if thick == 0:
            return
        palm = np.array([(-42, 90), (-36, -45), (36, -45), (40, 90)]) * s * [thick, 1]
        canvas.polygon(_turned(palm, turn), tissues.fat)
        canvas.polygon(_turned(palm * [0.9, 1], turn), tissues.muscle)
        inside = cut(x, 0, depth * size)
        for ray in range(5):
            lean = (ray - 2) * fan
            aim = np.array([np.sin(lean), -np.cos(lean)])
            at = np.array([(ray - 2) * 14.0, -4.0])
            whole = at + aim * float(lengths[ray].sum() + 14)
            canvas.line(_turned(np.array([at, whole]) * s, turn), tissues.fat, 19 * s * thick)
            canvas.line(_turned(np.array([at, whole]) * s, turn), tissues.muscle, 14 * s * thick)
            for length in lengths[ray] * 1.0:
                ends = np.array([at, at + aim * length]) * s
                ends = _turned(ends, turn)
                if inside > 0.3:
                    bone(canvas, shaft(ends[0], ends[1], (13 * s, 8 * s, 11 * s)), tissues)
                at = at + aim * (length + 2.5)
        for y, z, ry, rz in carpals:
            place = _turned(np.array([(y, z)]) * s, turn)[0]
            round_bone(canvas, x, (0, *place), (depth * s, ry * s, rz * s), tissues)
        for side in (-1, 1):
            ends = _turned(np.array([(side * 13, 32), (side * 15, 130)]) * s, turn)
            if inside > 0.3:
                bone(canvas, shaft(ends[0], ends[1], (26 * s, 14 * s, 14 * s)), tissues)

    return paint


def foot(rng: np.random.Generator, tissues: Tissues) -> Painter:
    """A foot and ankle from the side: tibia, talus, calcaneus, midfoot, and a ray of small bones."""
    size, tilt = rng.normal(1, 0.1), rng.normal(0, 0.25)
    marrow, step = rng.uniform(0.8, 1.3), rng.uniform(20, 30)

    def paint(canvas: Canvas, x: float) -> None:
        s, thick = size, cut(x, 0, 42 * size)
        if thick == 0:
            return

        def put(outline: Points, part: float = 0.0) -> None:
            if cut(x, part, 24 * size) > 0.3:
                bone(canvas, _turned(outline * s, tilt), tissues, marrow)

        skin = [(60, 48), (62, -20), (40, -150), (-10, -150), (-20, -30), (-130, 20), (-135, 45), (0, 50)]
        canvas.polygon(_turned(np.array(skin) * s * (0.7 + 0.3 * thick), tilt), tissues.fat)
        flesh = np.array([(46, 36), (30, -150), (0, -150), (-10, -26), (-120, 26), (-100, 40)])
        canvas.polygon(_turned(flesh * s, tilt), tissues.muscle)
        canvas.line(_turned(np.array([(40, -140), (54, 8)]) * s, tilt), tissues.ligament, 6)
        put(shaft((14, -150), (10, -26), (28, 26, 42)))
        put(np.array([(34, -22), (40, -6), (0, 4), (-28, -2), (-26, -16), (-10, -24)]))
        put(np.array([(20, 2), (58, 0), (62, 30), (40, 36), (-18, 22), (-20, 4)]))
        for i in range(2):
            put(shaft((-32 - i * step, 2 + i * 5), (-29 - (i + 0.8) * step, 4 + i * 6), (24, 22, 22)))
        put(shaft((-36 - 2 * step + 6, 16), (-92 - step, 34), (20, 11, 16)), -6.0)
        put(shaft((-96 - step, 35), (-118 - step, 40), (15, 9, 12)), -6.0)

    return paint
