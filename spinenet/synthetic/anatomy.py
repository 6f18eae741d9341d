"""A synthetic spine in millimetres: bodies, discs and canal, with curvature, scoliosis and findings.

Coordinates: x lateral (patient left positive), y posterior positive, z caudal positive.
In a sagittal slice (y, z) become (column, row).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spinenet.anatomy import LEVEL_INDEX, LEVELS
from spinenet.synthetic.findings import DiscFindings, sample_findings

Points = npt.NDArray[np.float64]

_KNOTS = {
    # level: body height, depth, half width, disc height above it (mm), cranial axis leaning forward (degrees)
    "S1": (29.0, 33.0, 24.0, 10.2, 40.0),
    "L5": (27.5, 34.5, 25.0, 10.8, 23.0),
    "L4": (27.5, 34.5, 24.5, 10.6, 9.0),
    "L3": (27.5, 34.0, 24.0, 10.2, -2.0),
    "L2": (27.0, 33.0, 23.0, 9.6, -8.0),
    "L1": (26.5, 32.0, 22.0, 8.8, -11.0),
    "T12": (25.0, 30.5, 21.0, 7.0, -12.0),
    "T10": (22.5, 28.5, 18.0, 5.8, -11.0),
    "T7": (20.0, 26.5, 15.5, 4.8, 0.0),
    "T4": (18.0, 21.0, 14.5, 4.5, 13.0),
    "T1": (16.0, 17.5, 14.5, 4.8, 24.0),
    "C7": (14.5, 17.0, 13.0, 5.2, 19.0),
    "C5": (13.0, 16.5, 12.0, 5.2, 8.0),
    "C3": (13.5, 16.0, 11.0, 5.2, -2.0),
    "C2": (17.0, 15.5, 10.5, 0.0, -5.0),
}
LATERAL_POWER = 3.0
MIN_LATERAL_FACTOR = 0.6
"""A body is drawn and counts as present in a slice where at least this share of its depth is cut."""
SACRAL_SEGMENTS = 3


@dataclass(frozen=True, eq=False)
class Body:
    """One vertebral body.

    Attributes
    ----------
    level
        Name; "S2" to "S4" are drawn but are no level of their own.
    centre
        (x, y, z) mm.
    lean
        Angle of the cranial axis towards anterior, radians.
    height, depth, half_width
        mm; ``depth`` is that of the cranial endplate.
    taper
        Depth of the caudal endplate over that of the cranial one.
    wedge
        Anterior height over posterior height.
    """

    level: str
    centre: Points
    lean: float
    height: float
    depth: float
    half_width: float
    taper: float
    wedge: float

    @property
    def up(self) -> Points:
        """(y, z) unit vector, cranial."""
        return np.array([-np.sin(self.lean), -np.cos(self.lean)])

    @property
    def back(self) -> Points:
        """(y, z) unit vector, posterior."""
        return np.array([np.cos(self.lean), -np.sin(self.lean)])

    def lateral_factor(self, x: float) -> float:
        """Share of the depth that a sagittal plane at x (mm) cuts; 0 outside."""
        t = abs(x - self.centre[0]) / self.half_width
        return float((1 - t**LATERAL_POWER) ** (1 / LATERAL_POWER)) if t < 1 else 0.0

    def place(self, along_back: npt.ArrayLike, along_up: npt.ArrayLike) -> Points:
        """(..., 2) points (y, z) from offsets in mm along ``back`` and ``up``."""
        a, b = np.asarray(along_back, float)[..., None], np.asarray(along_up, float)[..., None]
        return self.centre[1:] + a * self.back + b * self.up

    def corners(self, x: float) -> Points | None:
        """(4, 2) corners (y, z) in mm, order rt, rb, lb, lt, of the cut at x; None where not present."""
        factor = self.lateral_factor(x)
        if factor < MIN_LATERAL_FACTOR:
            return None
        front = -self.depth / 2 + self.depth * (1 - factor) * 0.8
        rear = self.depth / 2 - self.depth * (1 - factor) * 0.2
        post, ante = self.height / 2, self.height / 2 * self.wedge
        t = self.taper
        return self.place([rear, rear * t, front * t, front], [post, -post, -ante, ante])


@dataclass(frozen=True, eq=False)
class Spine:
    """Bodies caudal to cranial (sacral segments first) and the disc above each body from S1 on.

    Attributes
    ----------
    discs
        Keyed by the caudal body's level.
    canal_depth
        Normal front-to-back diameter of the thecal sac, mm.
    conus
        Level at whose middle the cord ends.
    """

    bodies: tuple[Body, ...]
    discs: dict[str, DiscFindings]
    canal_depth: float
    conus: str

    def body(self, level: str) -> Body:
        """The body of a level."""
        return next(b for b in self.bodies if b.level == level)


def _profile(column: int) -> Points:
    knots = [LEVEL_INDEX[k] for k in _KNOTS]
    return np.interp(np.arange(len(LEVELS)), knots, [v[column] for v in _KNOTS.values()])


def sample_spine(rng: np.random.Generator, *, balance: float = 0.0) -> Spine:
    """Draw a whole spine, S4 to C2, with S1 at the origin.

    Parameters
    ----------
    balance
        See :func:`spinenet.synthetic.findings.sample_findings`.
    """
    size = rng.normal(1.0, 0.06)
    heights, depths, widths, gaps, leans = (_profile(c) for c in range(5))
    heights = heights * size * rng.normal(1, 0.025, len(LEVELS))
    depths = depths * size * rng.normal(1, 0.02, len(LEVELS)) * rng.normal(1, 0.03)
    widths, gaps = widths * size, gaps * size * rng.normal(1, 0.03, len(LEVELS))
    curve = np.interp(np.arange(len(LEVELS)), [0, 6, 12, 18, 23], rng.uniform(0.55, 1.25, 5))
    leans = np.radians(leans * curve + rng.normal(0, 1.2, len(LEVELS)) + rng.normal(0, 4))
    amplitude, phase = rng.uniform(0, 5), rng.uniform(0, 2 * np.pi)
    lateral = amplitude * np.sin(np.arange(len(LEVELS)) * rng.uniform(0.2, 0.5) + phase)
    lateral -= lateral[3]

    bodies: list[Body] = []
    discs: dict[str, DiscFindings] = {}
    centre = np.zeros(2)
    for i, level in enumerate(LEVELS):
        taper = 0.72 if level == "S1" else float(rng.normal(1.0, 0.02))
        wedge = float(rng.normal(1.0, 0.03)) if level != "S1" else 1.0
        if i:
            lower, findings = bodies[-1], discs[LEVELS[i - 1]]
            gap = gaps[i - 1] * findings.height_factor
            middle = (lower.lean + leans[i]) / 2
            up, back = (-np.sin(middle), -np.cos(middle)), (np.cos(middle), -np.sin(middle))
            centre = lower.centre[1:] + lower.up * lower.height / 2 + np.array(up) * gap
            centre -= np.array(back) * findings.slip_factor * lower.depth
            centre += np.array([-np.sin(leans[i]), -np.cos(leans[i])]) * heights[i] / 2
        bodies.append(
            Body(
                level,
                np.array([lateral[i], *centre]),
                leans[i],
                heights[i],
                depths[i],
                widths[i],
                taper,
                wedge,
            )
        )
        discs[level] = sample_findings(rng, lumbar=i < LEVEL_INDEX["T12"], balance=balance)
    return Spine(
        bodies=(*_sacrum(rng, bodies[0]), *bodies),
        discs=discs,
        canal_depth=float(rng.normal(15.5, 1.0)),
        conus=str(rng.choice(["T12", "L1", "L1", "L2"])),
    )


def _sacrum(rng: np.random.Generator, s1: Body) -> tuple[Body, ...]:
    """S4 to S2, caudal first: fused segments that shrink and bend backwards below S1."""
    segments, upper = [], s1
    for i in range(SACRAL_SEGMENTS):
        lean = upper.lean - np.radians(rng.uniform(2, 10) + 6 * i)
        height, depth = upper.height * 0.84, upper.depth * upper.taper
        join = upper.centre[1:] - upper.up * (upper.height / 2 + 2.0)
        centre = join - np.array([-np.sin(lean), -np.cos(lean)]) * height / 2
        x = float(s1.centre[0])
        upper = Body(f"S{i + 2}", np.array([x, *centre]), lean, height, depth, s1.half_width * 0.8, 0.8, 1.0)
        segments.append(upper)
    return tuple(reversed(segments))
