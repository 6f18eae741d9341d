"""A thing that is no spine as a scan, from a seed: of a kind, with a contrast, a field of view and noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import cv2
import numpy as np
import numpy.typing as npt

from spinenet.geometry import rotation
from spinenet.synthetic.canvas import Canvas
from spinenet.synthetic.image import SEQUENCES, Acquisition, acquired, as_scan
from spinenet.synthetic.negatives import limbs, phantoms, textures, trunks
from spinenet.synthetic.negatives.shapes import Painter
from spinenet.synthetic.tissues import Tissues, sample_tissues
from spinenet.types import Scan

_PAINTED: Mapping[str, tuple[Callable[[np.random.Generator, Tissues], Painter], tuple[float, float]]] = (
    MappingProxyType(
        {
            "knee": (limbs.knee, (140, 220)),
            "hip": (limbs.hip, (200, 340)),
            "hand": (limbs.hand, (120, 260)),
            "foot": (limbs.foot, (160, 280)),
            "head": (trunks.head, (210, 270)),
            "belly": (trunks.belly, (230, 380)),
            "chest": (trunks.chest, (230, 380)),
            "bottles": (phantoms.bottles, (160, 380)),
            "spheres": (phantoms.spheres, (160, 380)),
            "grid": (phantoms.grid, (180, 260)),
            "boxes": (phantoms.boxes, (180, 360)),
        }
    )
)
"""Maker of each painted kind, and the least and the greatest height of its field of view in mm."""

_NOISE = MappingProxyType({"noise": textures.noise, "air": textures.air, "blobs": textures.blobs})
_CUT = MappingProxyType({"tiles": textures.tiles, "lying": textures.lying})

NEGATIVES: tuple[str, ...] = (*_PAINTED, *_NOISE, *_CUT)
"""Kinds of scans that are no spine."""


def render_negative(seed: int, *, kind: str = "knee") -> Scan:
    """Draw a scan that shows no spine.

    Parameters
    ----------
    seed
        Decides all of it, together with the kind.
    kind
        One of :data:`NEGATIVES`.

    Returns
    -------
    Scan
        (rows, columns, slices) whole numbers from 0 to 4095; pixels are square but in a tenth of scans.

    Raises
    ------
    KeyError
        There is no such kind.
    """
    rng = np.random.default_rng([seed, 23, NEGATIVES.index(kind) if kind in NEGATIVES else 0])
    if kind in _CUT:
        volume, spacing = _CUT[kind](rng)
        a = _acquisition(rng, (volume.shape[0] * spacing,) * 2, spacing)
        return as_scan(volume, a)
    if kind in _NOISE:
        a = _acquisition(rng, (150.0, 400.0))
        return as_scan(_NOISE[kind](rng, (a.rows, a.columns, a.slices)) * np.float32(a.gain), a)
    make, view = _PAINTED[kind]
    a = _acquisition(rng, view)
    paint = make(rng, sample_tissues(rng, a.sequence))
    turn, mirrored = float(rng.normal(0, 6)), rng.random() < 0.5
    return as_scan(np.stack([_slice(paint, a, k, rng, turn, mirrored) for k in range(a.slices)], axis=2), a)


def _acquisition(
    rng: np.random.Generator, view: tuple[float, float], spacing: float | None = None
) -> Acquisition:
    """How the thing is scanned; the field of view's height lies between those of ``view`` (mm)."""
    height = float(rng.uniform(*view))
    width = height * float(rng.choice([1.0, 1.0, 0.85, 0.7]))
    spacing = spacing or float(np.clip(rng.uniform(0.35, 1.0), height / 640, height / 200))
    ratio = float(rng.uniform(1.03, 1.15)) if rng.random() < 0.1 else 1.0
    step, slices = float(rng.uniform(2.0, 5.5)), int(rng.integers(3, 20))
    rows, columns = int(height / spacing), int(width / (spacing * ratio))
    shift = rng.normal(0, 8, 2)
    return Acquisition(
        sequence=str(rng.choice(SEQUENCES)),
        rows=rows,
        columns=columns,
        pixel_spacing=(spacing, spacing * ratio),
        origin=(
            shift[0] - columns / 2 * spacing * ratio,
            shift[1] - rows / 2 * spacing,
            -(slices - 1) / 2 * step + float(rng.normal(0, 3)),
        ),
        slices=slices,
        thickness=step * float(rng.uniform(0.8, 1.0)),
        slice_spacing=step,
        noise=float(rng.uniform(4, 50)),
        bias=rng.normal(0, 0.25, 5),
        gain=float(np.exp(rng.uniform(np.log(0.25), np.log(2.0)))),
    )


def _slice(
    paint: Painter, a: Acquisition, index: int, rng: np.random.Generator, turn: float, mirrored: bool
) -> npt.NDArray[np.float32]:
    """One slice of a painted thing, turned by some degrees and perhaps mirrored: sides and tilt vary."""
    canvas = Canvas(a.rows, a.columns, a.pixel_spacing, a.origin[:2])
    paint(canvas, a.origin[2] + index * a.slice_spacing)
    matrix = rotation(((a.columns - 1) / 2, (a.rows - 1) / 2), turn)
    signal = np.asarray(cv2.warpAffine(canvas.downsampled(), matrix, (a.columns, a.rows)), np.float32)
    return acquired(signal[:, ::-1] if mirrored else signal, a, rng)
