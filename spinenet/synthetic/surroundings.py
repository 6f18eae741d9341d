"""What a synthetic spine lies in: skin, fat, muscle, organs, vessels; and details that vary by level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spinenet.anatomy import LEVELS
from spinenet.synthetic.anatomy import Spine
from spinenet.synthetic.canvas import Canvas
from spinenet.synthetic.tissues import Tissues


@dataclass(frozen=True)
class ChangeExtent:
    """Where and how large an endplate's changes are drawn; shares of the endplate's depth, or mm."""

    start: float
    stop: float
    thickness: float
    kind: int
    defect_at: float
    defect_depth: float
    defect_width: float
    defect_reach: float


@dataclass(frozen=True, eq=False)
class Surroundings:
    """One subject's details.

    Attributes
    ----------
    organs
        (n, 7): y, z, x centre, y, z, x radius in mm, signal share from 0 to 1.
    subcutaneous
        Thickness of the fat behind the muscles, mm.
    """

    organs: npt.NDArray[np.float64]
    subcutaneous: float
    muscle_depth: float
    aorta_side: float
    belly: float
    posterior_marrow: float
    disc_signal: float
    level_marrow: Mapping[str, float]
    change_extent: Mapping[tuple[str, str], ChangeExtent]


def sample_surroundings(rng: np.random.Generator, spine: Spine) -> Surroundings:
    """Draw the details that do not depend on the contrast."""
    centres = np.array([b.centre for b in spine.bodies])
    top, bottom = centres[:, 2].min() - 60, centres[:, 2].max() + 40
    n = int((bottom - top) / 12)
    organs = np.column_stack(
        [
            rng.uniform(-150, -22, n),
            rng.uniform(top, bottom, n),
            rng.uniform(-40, 40, n),
            rng.uniform(6, 32, n),
            rng.uniform(6, 40, n),
            rng.uniform(12, 45, n),
            rng.uniform(0, 1, n),
        ]
    )
    extents = {}
    for level in LEVELS:
        for name in ("lower", "upper"):
            start, length = rng.uniform(0.0, 0.35), rng.uniform(0.5, 0.65)
            extents[(level, name)] = ChangeExtent(
                start=start,
                stop=start + length,
                thickness=rng.uniform(0.24, 0.38),
                kind=int(rng.choice(3, p=(0.3, 0.55, 0.15))),
                defect_at=rng.uniform(0.3, 0.7),
                defect_depth=rng.uniform(3.4, 5.5),
                defect_width=rng.uniform(3.8, 6.5),
                defect_reach=rng.uniform(7.5, 12.0),
            )
    return Surroundings(
        organs=organs,
        subcutaneous=float(rng.uniform(8, 45)),
        muscle_depth=float(rng.uniform(36, 55)),
        aorta_side=float(rng.uniform(2, 14)),
        belly=float(rng.uniform(70, 160)),
        posterior_marrow=float(rng.uniform(0.85, 1.15)),
        disc_signal=float(rng.normal(1.0, 0.03)),
        level_marrow={level: float(rng.normal(1.0, 0.04)) for level in LEVELS},
        change_extent=extents,
    )


def draw_surroundings(canvas: Canvas, spine: Spine, tissues: Tissues, around: Surroundings, x: float) -> None:
    """Paint everything that the spine lies in, for the section at lateral position x (mm)."""
    line = np.array([b.place(0.0, 0.0) for b in spine.bodies])
    top, bottom = spine.bodies[-1], spine.bodies[0]
    line = np.array([line[0] + [15, 120], *line, line[-1] + top.up * 60 + [0, -120]])
    depths = np.array([bottom.depth, *(b.depth for b in spine.bodies), top.depth])

    def band(front: npt.ArrayLike, rear: npt.ArrayLike, value: float) -> None:
        left = line + np.stack([np.broadcast_to(front, len(line)), np.zeros(len(line))], axis=1)
        right = line + np.stack([np.broadcast_to(rear, len(line)), np.zeros(len(line))], axis=1)
        canvas.polygon([*left, *right[::-1]], value)

    neck = np.clip((depths - 15) / 15, 0.45, 1.0)
    muscle = depths / 2 + spine.canal_depth + around.muscle_depth * neck
    band(-around.belly * neck, muscle + around.subcutaneous, tissues.fat)
    band(-around.belly * neck + 18 * neck, muscle, tissues.muscle)
    low, high = tissues.organ
    for y, z, ox, ry, rz, rx, share in around.organs:
        t = abs(x - ox) / rx
        if t < 1:
            shrink = float(np.sqrt(1 - t * t))
            near = line[np.argmin(abs(line[:, 1] - z)), 0]
            canvas.ellipse((near + y, z), (ry * shrink, rz * shrink), low + (high - low) * share, share * 3)
    if abs(x - around.aorta_side) < 9:
        wide = float(np.sqrt(81 - (x - around.aorta_side) ** 2))
        inside = slice(SACRUM_END, len(line) - 6)
        centre = line[inside] - np.stack([depths[inside] / 2 + 13, np.zeros(len(depths[inside]))], axis=1)
        canvas.line(centre, tissues.vessel, 2 * wide)
    front = depths / 2 + 3.5
    canvas.polygon(
        [*(line - np.stack([front, 0 * front], 1)), *(line + np.stack([front * 0.2, 0 * front], 1))[::-1]],
        tissues.fat * 0.7,
    )
    side = min(1.0, abs(x) / 9)
    behind = depths / 2 + spine.canal_depth
    canvas.polygon(
        [
            *(line + np.stack([behind, 0 * behind], 1)),
            *(line + np.stack([behind + around.muscle_depth * neck * 0.75, 0 * behind], 1))[::-1],
        ],
        tissues.fat * 0.75 * (1 - side) + tissues.muscle * side,
    )
    if abs(x) < 25:
        skull = line[-2] + top.up * 48
        canvas.ellipse(skull + np.array([10, -10]), (44, 34), tissues.cord)
        canvas.line([line[-2] + top.up * 20 + top.back * 8, skull], tissues.cord, 11)
        for along in (-9.0, 24.0):
            canvas.ellipse(top.place(along, top.height * 1.0), (3.5, 5.0), tissues.marrow)


SACRUM_END = 5
"""Index in the body line (with its added end) from which vessels run."""
