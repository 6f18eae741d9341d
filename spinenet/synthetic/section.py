"""Draws one sagittal section of a synthetic spine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spinenet.synthetic.anatomy import Body, Points, Spine
from spinenet.synthetic.canvas import Canvas
from spinenet.synthetic.surroundings import Surroundings, draw_surroundings
from spinenet.synthetic.tissues import Tissues

CANAL_HALF_WIDTH = 11.5
FORAMEN = (9.5, 20.0)
"""Lateral extent in mm of the foramina on either side of the canal."""
PEDICLE = (8.5, 19.0)
EPIDURAL_MM = 1.2


def draw_section(canvas: Canvas, spine: Spine, tissues: Tissues, around: Surroundings, x: float) -> None:
    """Paint the section at lateral position x (mm), back to front."""
    draw_surroundings(canvas, spine, tissues, around, x)
    _canal(canvas, spine, tissues, x)
    _posterior_elements(canvas, spine, tissues, around, x)
    for body in spine.bodies:
        _body(canvas, body, tissues, around, x)
    for lower, upper in zip(spine.bodies, spine.bodies[1:], strict=False):
        if upper.level in ("S3", "S2", "S1"):
            _sacral_remnant(canvas, lower, upper, tissues, x)
        else:
            _disc(canvas, spine, lower, upper, tissues, around, x)


def _wall(body: Body, along_up: float) -> Points:
    t = body.taper + (1 - body.taper) * (along_up / body.height + 0.5)
    return body.place(body.depth / 2 * t, along_up)


def _canal_line(spine: Spine) -> tuple[Points, Points, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Points on the posterior wall caudal to cranial, backward directions, sac factor, anterior share."""
    points, backs, factors, shares = [], [], [], []
    for i, body in enumerate(spine.bodies):
        for b in (-0.3, 0.0, 0.3):
            points.append(_wall(body, b * body.height))
            backs.append(body.back)
            factors.append(1.0 if not body.level.startswith("S") or body.level == "S1" else 0.6)
            shares.append(0.55)
        if body.level in spine.discs and i + 1 < len(spine.bodies):
            upper, findings = spine.bodies[i + 1], spine.discs[body.level]
            points.append((_wall(body, body.height / 2) + _wall(upper, -upper.height / 2)) / 2)
            backs.append((body.back + upper.back) / 2)
            factors.append(findings.sac_factor)
            shares.append(0.8 if findings.classes["herniation"] else 0.5)
    return np.array(points), np.array(backs), np.array(factors), np.array(shares)


def _canal(canvas: Canvas, spine: Spine, tissues: Tissues, x: float) -> None:
    aside = abs(x - float(np.mean([b.centre[0] for b in spine.bodies])))
    side = aside / CANAL_HALF_WIDTH
    if side >= 1:
        return
    points, backs, factors, shares = _canal_line(spine)
    scale = np.linspace(1.0, 0.85, len(points))[:, None]
    lumen = spine.canal_depth * np.sqrt(1 - side**2) * scale
    lost = spine.canal_depth * scale * (1 - factors[:, None])
    fat_rear = points + backs * (spine.canal_depth * scale + 5.0)
    canvas.polygon([*points, *fat_rear[::-1]], tissues.fat)
    inset = (spine.canal_depth * scale - lumen) / 2 + EPIDURAL_MM
    front = points + backs * (inset + lost * shares[:, None])
    rear = points + backs * np.maximum(
        inset + lumen - lost * (1 - shares[:, None]), inset + lost * shares[:, None] + 0.6
    )
    canvas.line(points + backs * 0.4, tissues.ligament, 1.0)
    canvas.polygon([*front, *rear[::-1]], tissues.csf)
    canvas.line(rear, tissues.ligament, 0.8)
    first = next(3 * i for i, b in enumerate(spine.bodies) if b.level == "S1")
    conus = next(i for i, p in enumerate(points) if np.allclose(p, _wall(spine.body(spine.conus), 0.0)))
    middle = (front + rear) / 2
    if aside < 6:
        half = np.interp(np.arange(len(points)), [conus - 1, conus + 2, len(points)], [0.5, 3.4, 4.0])[
            :, None
        ]
        half = np.minimum(half, np.linalg.norm(rear - front, axis=1)[:, None] * 0.4)
        cord = slice(conus - 1, None)
        left, right = middle - backs * half, middle + backs * half
        canvas.polygon([*left[cord], *right[cord][::-1]], tissues.cord)
    for depth in (0.55, 0.7, 0.85):
        root = front[first:conus] + (rear - front)[first:conus] * depth
        canvas.line(root, tissues.csf * 0.55, 0.7)


def _posterior_elements(
    canvas: Canvas, spine: Spine, tissues: Tissues, around: Surroundings, x: float
) -> None:
    for i, body in enumerate(spine.bodies):
        dx = x - float(body.centre[0])
        small = body.height / 27.0
        rear = body.depth / 2 + spine.canal_depth
        if abs(dx) < 4.0 and not body.level.startswith("S"):
            tip, drop = (rear + 9 + 21 * small), 13 * small
            shape = [(rear + 6, 2), (tip, -drop * 0.7), (tip, -drop - 12 * small), (rear + 6, -11 * small)]
            canvas.polygon(body.place(*np.array(shape).T), tissues.cortex)
            inner = [
                (rear + 7.2, 0.6),
                (tip - 1.2, -drop * 0.8),
                (tip - 1.2, -drop - 10.4 * small),
                (rear + 7.2, -9.6 * small),
            ]
            canvas.polygon(body.place(*np.array(inner).T), tissues.marrow * around.posterior_marrow)
        if not body.level.startswith("S") and PEDICLE[0] * small**0.5 < abs(dx) < PEDICLE[1] * small**0.4:
            d, h = body.depth / 2, body.height
            for length, top, bottom, value in (
                (13 * small, 0.44, 0.02, tissues.cortex),
                (12 * small, 0.40, 0.06, tissues.marrow),
            ):
                along_back = [d - 3, d + length, d + length, d - 3]
                canvas.polygon(body.place(along_back, [top * h, top * h, bottom * h, bottom * h]), value)
        if body.level in spine.discs and i + 1 < len(spine.bodies) and FORAMEN[0] < abs(dx) < FORAMEN[1]:
            _foramen(canvas, spine, body, spine.bodies[i + 1], tissues, dx)


def _foramen(canvas: Canvas, spine: Spine, lower: Body, upper: Body, tissues: Tissues, dx: float) -> None:
    """The opening behind a disc and the lower half of the body above, with fat and a nerve root."""
    small = upper.height / 27.0
    d, h = upper.depth / 2, upper.height
    stenosed = spine.discs[lower.level].classes[f"foraminal_stenosis_{'left' if dx > 0 else 'right'}"]
    bottom = _wall(lower, lower.height * 0.45)
    outline = [
        upper.place(d - 0.5, 0.0),
        upper.place(d + 10 * small, -0.02 * h),
        upper.place(d + 9 * small, -0.5 * h),
    ]
    outline += [bottom + lower.back * 6 * small, bottom]
    canvas.polygon(outline, tissues.ligament + 60 if stenosed else tissues.fat)
    root = upper.place(d + 4.2 * small, -0.18 * h)
    radii = (2.0 * small, 2.0 * small) if not stenosed else (1.2 * small, 1.4 * small)
    canvas.ellipse(root, radii, tissues.muscle * (0.8 if stenosed else 1.1))
    if stenosed:
        canvas.ellipse(upper.place(d + 3.5 * small, -0.5 * h), (4.2 * small, 5.0 * small), tissues.annulus)
    facet = upper.place(d + 14 * small, -0.55 * h)
    canvas.ellipse(facet, (5.0 * small, 8.5 * small), tissues.cortex, 0.35)
    canvas.ellipse(facet, (3.6 * small, 7.0 * small), tissues.marrow * 0.8, 0.35)


def _outline(body: Body, corners: Points, inset: float) -> Points:
    """Corners joined by edges that curve inwards a little, moved in by ``inset`` mm."""
    rt, rb, lb, lt = corners + inset * np.array(
        [-body.back - body.up, -body.back + body.up, body.back + body.up, body.back - body.up]
    )
    waist, dip = 0.045 * body.depth, 0.025 * body.height
    sides = []
    for a, b, inward in (
        (rt, rb, -body.back * waist),
        (rb, lb, body.up * dip),
        (lb, lt, body.back * waist),
        (lt, rt, -body.up * dip),
    ):
        t = np.linspace(0, 1, 7)[:-1, None]
        sides.append(a + (b - a) * t + inward * (4 * t * (1 - t)))
    return np.concatenate(sides)


def _body(canvas: Canvas, body: Body, tissues: Tissues, around: Surroundings, x: float) -> None:
    corners = body.corners(x)
    if corners is None:
        return
    canvas.polygon(_outline(body, corners, -0.3), tissues.cortex)
    canvas.polygon(_outline(body, corners, 0.8), tissues.marrow * around.level_marrow.get(body.level, 1.0))
    if body.level == "C2":
        dens = [(-0.1 * body.depth, 0.4 * body.height), (0.28 * body.depth, 0.4 * body.height)]
        dens += [(0.24 * body.depth, 1.25 * body.height), (0.02 * body.depth, 1.25 * body.height)]
        if abs(x - body.centre[0]) < 5.5:
            canvas.polygon(body.place(*np.array(dens).T), tissues.marrow)
    elif abs(x - body.centre[0]) < 3.5 and not body.level.startswith("S"):
        notch = [(0.5, 0.08), (0.24, 0.02), (0.24, -0.02), (0.5, -0.08)]
        canvas.polygon(body.place(*(np.array(notch) * [body.depth, body.height]).T), tissues.marrow * 1.35)


def _sacral_remnant(canvas: Canvas, lower: Body, upper: Body, tissues: Tissues, x: float) -> None:
    below, above = lower.corners(x), upper.corners(x)
    if below is not None and above is not None:
        middle_front, middle_rear = (below[3] + above[2]) / 2, (below[0] + above[1]) / 2
        canvas.line([middle_front, middle_rear], tissues.annulus * 1.3, 1.6)


def _disc(
    canvas: Canvas, spine: Spine, lower: Body, upper: Body, tissues: Tissues, around: Surroundings, x: float
) -> None:
    below, above = lower.corners(x), upper.corners(x)
    if below is None or above is None:
        return
    findings = spine.discs[lower.level]
    classes = findings.classes
    grade = classes["pfirrmann"]
    centre = (below[0] + below[3] + above[1] + above[2]) / 4
    back = (lower.back + upper.back) / np.linalg.norm(lower.back + upper.back)
    up = (lower.up + upper.up) / np.linalg.norm(lower.up + upper.up)
    height = float(abs((above[1] + above[2] - below[0] - below[3]) @ up)) / 2
    depth = float(min((below[0] - below[3]) @ back, (above[1] - above[2]) @ back))
    bulge = 0.6 + 0.5 * grade * (depth / 35)
    front = (below[3] + above[2]) / 2 - back * bulge
    rear = (below[0] + above[1]) / 2 + back * bulge * 0.8
    if (side := abs(x - lower.centre[0])) < 0.75 * lower.half_width:
        for name, body, corner, sign in (("lower", lower, below, -1.0), ("upper", upper, above, 1.0)):
            _endplate_changes(canvas, name, body, corner, sign, spine, lower.level, tissues, around, side)
    canvas.polygon([below[0], rear, above[1], above[2], front, below[3]], tissues.annulus)
    signal = tissues.nucleus[grade] * around.disc_signal
    if side < 0.8 * lower.half_width:
        angle = float(np.arctan2(back[1], back[0]))
        radii = (depth * 0.36, max(height * (0.40 if grade < 3 else 0.34), 0.7))
        canvas.ellipse(centre, radii, signal, angle)
        if grade == 1:
            canvas.line(
                [centre - back * radii[0] * 0.9, centre + back * radii[0] * 0.9],
                signal * 0.42,
                max(height * 0.2, 1.2),
            )
    if classes["herniation"] and abs(x - lower.centre[0] - findings.herniation_side) < 8.0:
        lost = (1 - findings.sac_factor) * spine.canal_depth * 0.8
        size = float(np.clip(lost, 4.2, 8.5))
        fade = np.sqrt(max(0.0, 1 - ((x - lower.centre[0] - findings.herniation_side) / 8.0) ** 2))
        middle = (below[0] + above[1]) / 2
        angle = float(np.arctan2(back[1], back[0]))
        canvas.ellipse(
            middle + back * size * 0.35 * fade,
            (size * 0.75 * fade + 0.4, height * 0.5 + 2.6),
            tissues.ligament,
            angle,
        )
        canvas.ellipse(
            middle + back * size * 0.35 * fade,
            (size * 0.62 * fade + 0.2, height * 0.5 + 1.6),
            tissues.annulus * 1.25,
            angle,
        )


def _endplate_changes(
    canvas: Canvas, name: str, body: Body, corners: Points, sign: float, spine: Spine, level: str,
    tissues: Tissues, around: Surroundings, side: float,
) -> None:  # fmt: skip
    """Marrow change and endplate defect of the body below (sign -1) or above (+1) a disc."""
    classes = spine.discs[level].classes
    rear, front = (corners[0], corners[3]) if sign < 0 else (corners[1], corners[2])
    inwards = body.up * sign
    extent = around.change_extent[(level, name)]
    if classes[f"{name}_marrow_change"]:
        a, b = front + (rear - front) * extent.start, front + (rear - front) * extent.stop
        band = extent.thickness * body.height
        middle = (a + b) / 2 + inwards * band * 1.15
        shape = [
            a + inwards * 0.9,
            a + inwards * band * 0.75,
            middle,
            b + inwards * band * 0.75,
            b + inwards * 0.9,
        ]
        canvas.polygon(shape, tissues.marrow * tissues.modic[extent.kind])
    if classes[f"{name}_endplate_defect"] and side < extent.defect_reach:
        at = front + (rear - front) * extent.defect_at
        angle = float(np.arctan2(body.back[1], body.back[0]))
        deep, wide = extent.defect_depth, extent.defect_width
        canvas.ellipse(at, (wide + 1.3, deep + 1.3), tissues.cortex, angle)
        canvas.ellipse(at, (wide, deep), tissues.annulus * 1.5, angle)
