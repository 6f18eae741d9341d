"""A synthetic subject as a scan: acquisition, coil, noise, and the truth in the scan's own pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from spinenet.anatomy import FINDINGS, LEVEL_INDEX, LEVELS, disc_level
from spinenet.synthetic.anatomy import Spine, sample_spine
from spinenet.synthetic.canvas import Canvas
from spinenet.synthetic.fractures import is_fractured, with_fractures
from spinenet.synthetic.section import draw_section
from spinenet.synthetic.surroundings import Surroundings, sample_surroundings
from spinenet.synthetic.tissues import Tissues, sample_tissues
from spinenet.types import FloatArray, Scan

KINDS = ("lumbar", "cervical", "whole")
SEQUENCES = ("T2", "T1", "STIR")


@dataclass(frozen=True)
class Acquisition:
    """How a subject is scanned.

    Attributes
    ----------
    origin
        (y, z) mm of pixel (0, 0)'s centre and x mm of the first slice.
    thickness, slice_spacing
        mm; their difference is the gap.
    noise
        Standard deviation of each complex channel, in signal units.
    """

    sequence: str
    rows: int
    columns: int
    pixel_spacing: tuple[float, float]
    origin: tuple[float, float, float]
    slices: int
    thickness: float
    slice_spacing: float
    noise: float
    bias: npt.NDArray[np.float64]
    gain: float


@dataclass(frozen=True, eq=False)
class TrueVertebra:
    """A vertebra as drawn: ``slices`` and (n, 4, 2) corners (x, y) in pixels, order rt, rb, lb, lt."""

    level: str
    slices: tuple[int, ...]
    quads: npt.NDArray[np.float64]
    share_in_view: float
    fractured: bool = False


@dataclass(frozen=True, eq=False)
class Phantom:
    """A scan with its truth. ``discs`` maps a level such as "L4-L5" to the class index of each finding."""

    scan: Scan
    vertebrae: tuple[TrueVertebra, ...]
    discs: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, eq=False)
class Subject:
    """Everything about a subject that is drawn."""

    spine: Spine
    surroundings: Surroundings
    tissues: Tissues
    acquisition: Acquisition


def sample_subject(
    rng: np.random.Generator, *, kind: str = "lumbar", sequence: str = "T2", balance: float = 0.0
) -> Subject:
    """Draw a subject and how it is scanned.

    Parameters
    ----------
    kind
        One of :data:`KINDS`.
    sequence
        One of :data:`SEQUENCES`.
    balance
        See :func:`spinenet.synthetic.findings.sample_findings`.
    """
    spine = sample_spine(rng, balance=balance)
    around = sample_surroundings(rng, spine)
    return Subject(spine, around, sample_tissues(rng, sequence), _acquisition(rng, kind, sequence, spine))


def _acquisition(rng: np.random.Generator, kind: str, sequence: str, spine: Spine) -> Acquisition:
    middle_level = {"lumbar": "L3", "cervical": "C6", "whole": "T9"}[kind]
    spacing = float(
        rng.uniform(*{"lumbar": (0.58, 0.9), "cervical": (0.5, 0.85), "whole": (0.9, 1.15)}[kind])
    )
    ratio = float(rng.uniform(1.03, 1.15)) if rng.random() < 0.1 else 1.0
    body = spine.body(middle_level)
    if kind == "whole":
        top, bottom = (
            spine.body("C2").centre[2] - rng.uniform(25, 50),
            spine.body("S1").centre[2] + rng.uniform(40, 80),
        )
        height, width = float(bottom - top), float(rng.uniform(250, 320))
        centre_y = float(np.mean([b.centre[1] for b in spine.bodies])) + rng.uniform(-15, 15)
        centre_z = float(top + bottom) / 2
    else:
        height = float(rng.uniform(*{"lumbar": (260, 320), "cervical": (220, 270)}[kind]))
        width = height * float(rng.choice([1.0, 1.0, 0.85]))
        centre_y = float(body.centre[1] + rng.uniform(-20, 25))
        centre_z = float(body.centre[2] + rng.uniform(-18, 22))
    slice_spacing = float(
        rng.uniform(*{"lumbar": (3.9, 4.9), "cervical": (3.0, 3.7), "whole": (3.8, 4.8)}[kind])
    )
    slices = int(
        rng.choice({"lumbar": (13, 15, 16, 17), "cervical": (11, 13, 15), "whole": (11, 13, 15)}[kind])
    )
    rows, columns = int(height / spacing), int(width / (spacing * ratio))
    first = float(body.centre[0]) - (slices - 1) / 2 * slice_spacing + float(rng.normal(0, 1.5))
    return Acquisition(
        sequence=sequence,
        rows=rows,
        columns=columns,
        pixel_spacing=(spacing, spacing * ratio),
        origin=(centre_y - columns / 2 * spacing * ratio, centre_z - rows / 2 * spacing, first),
        slices=slices,
        thickness=slice_spacing * float(rng.uniform(0.8, 1.0)),
        slice_spacing=slice_spacing,
        noise=float(rng.uniform(8, 32)),
        bias=rng.normal(0, 0.16, 5) + np.array([0.22, 0, 0, 0, 0]),
        gain=float(np.exp(rng.uniform(np.log(0.25), np.log(2.0)))),
    )


def render_slice(subject: Subject, index: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """(rows, columns) float32 magnitude image of one slice, its noise and texture drawn from ``rng``."""
    a = subject.acquisition
    x = a.origin[2] + index * a.slice_spacing
    layers = []
    for offset in (-0.25, 0.25):
        canvas = Canvas(a.rows, a.columns, a.pixel_spacing, a.origin[:2])
        draw_section(canvas, subject.spine, subject.tissues, subject.surroundings, x + offset * a.thickness)
        layers.append(canvas.downsampled())
    return acquired((layers[0] + layers[1]) / 2, a, rng)


def acquired(signal: FloatArray, a: Acquisition, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """(rows, columns) image of a slice's tissue signal: blurred, with texture, coil shading and noise."""
    image = cv2.GaussianBlur(signal, (0, 0), 0.45)
    image = image * _texture(rng, a) * _coil(a)
    real, imaginary = rng.standard_normal((2, a.rows, a.columns), dtype=np.float32) * np.float32(a.noise)
    return np.asarray(np.hypot(image + real, imaginary) * np.float32(a.gain), np.float32)


def _texture(rng: np.random.Generator, a: Acquisition) -> npt.NDArray[np.float32]:
    coarse = rng.standard_normal((a.rows // 4 + 1, a.columns // 4 + 1), dtype=np.float32)
    fine = cv2.resize(coarse, (a.columns, a.rows), interpolation=cv2.INTER_LINEAR)
    return np.asarray(1 + 0.05 * fine, np.float32)


def _coil(a: Acquisition) -> npt.NDArray[np.float32]:
    """Smooth receive sensitivity: brighter towards the back, with a low-order field."""
    u = np.linspace(-1, 1, a.columns, dtype=np.float32)[None]
    v = np.linspace(-1, 1, a.rows, dtype=np.float32)[:, None]
    b = a.bias.astype(np.float32)
    return np.asarray(np.exp(b[0] * u + b[1] * v + b[2] * u * v + b[3] * u * u + b[4] * v * v), np.float32)


def true_vertebrae(subject: Subject) -> tuple[TrueVertebra, ...]:
    """Every level with its corners in pixels, cranial to caudal, and the share of its mean quad in view."""
    a, vertebrae = subject.acquisition, []
    for body in subject.spine.bodies:
        if body.level not in LEVEL_INDEX:
            continue
        slices, quads = [], []
        for k in range(a.slices):
            corners = body.corners(a.origin[2] + k * a.slice_spacing)
            if corners is not None:
                slices.append(k)
                quads.append((corners - np.array(a.origin[:2])) / np.array(a.pixel_spacing[::-1]))
        if slices:
            stacked = np.array(quads)
            vertebrae.append(
                TrueVertebra(
                    body.level,
                    tuple(slices),
                    stacked,
                    _share_in_view(stacked.mean(axis=0), a),
                    is_fractured(body),
                )
            )
    return tuple(sorted(vertebrae, key=lambda v: float(v.quads.mean(axis=0)[:, 1].mean())))


def _share_in_view(quad: npt.NDArray[np.float64], a: Acquisition) -> float:
    t = (np.arange(12) + 0.5) / 12
    u, v = (grid.ravel()[:, None] for grid in np.meshgrid(t, t))
    inside = (1 - u) * (1 - v) * quad[3] + u * (1 - v) * quad[0] + u * v * quad[1] + (1 - u) * v * quad[2]
    seen = (inside >= -0.5).all(axis=1) & (inside < np.array([a.columns, a.rows]) - 0.5).all(axis=1)
    return float(seen.mean())


def true_discs(subject: Subject) -> dict[str, dict[str, int]]:
    """Class index of each finding, by disc level, caudal first."""
    discs = {}
    for below, above in pairwise(LEVELS):
        level = disc_level(below, above)
        if level is not None:
            classes = subject.spine.discs[below].classes
            discs[level] = {f.name: classes[f.name] for f in FINDINGS}
    return discs


def slice_rng(seed: int, index: int) -> np.random.Generator:
    """The generator of one slice's noise: slices can be drawn alone and in any order."""
    return np.random.default_rng([seed, 7, index])


def render(
    seed: int, *, kind: str = "lumbar", sequence: str = "T2", balance: float = 0.0, fractures: float = 0.0
) -> Phantom:
    """Draw a subject's whole scan.

    Parameters
    ----------
    fractures
        Share of the vertebrae that are fractured to a wedge; see :mod:`spinenet.synthetic.fractures`.

    Returns
    -------
    Phantom
        The same for the same arguments. Stored values are whole numbers from 0 to 4095.
    """
    subject = sample_subject(np.random.default_rng([seed, 3]), kind=kind, sequence=sequence, balance=balance)
    if fractures:
        # from numbers of its own, so that all else of the subject is drawn as without
        spine = with_fractures(subject.spine, np.random.default_rng([seed, 11]), fractures)
        subject = replace(subject, spine=spine)
    a = subject.acquisition
    volume = np.stack([render_slice(subject, k, slice_rng(seed, k)) for k in range(a.slices)], axis=2)
    return Phantom(as_scan(volume, a), true_vertebrae(subject), true_discs(subject))


def as_scan(volume: npt.NDArray[np.float32], a: Acquisition) -> Scan:
    """The scan of (rows, columns, slices) grey values: whole numbers from 0 to 4095, and where they lie."""
    affine = np.zeros((4, 4))
    affine[0, 2], affine[1, 1], affine[2, 0], affine[3, 3] = (
        a.slice_spacing,
        a.pixel_spacing[1],
        -a.pixel_spacing[0],
        1,
    )
    affine[:3, 3] = a.origin[2], a.origin[0], -a.origin[1]
    return Scan(
        volume=np.clip(np.round(volume), 0, 4095).astype(np.float32),
        pixel_spacing=a.pixel_spacing,
        slice_spacing=a.slice_spacing,
        affine=affine,
        sequence=a.sequence,
        header={"slice_thickness": a.thickness},
    )
