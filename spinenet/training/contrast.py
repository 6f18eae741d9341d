"""Images as another scanner might have taken them: other contrast, coil, sharpness, noise and pose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from spinenet.geometry import Points

FloatImage = npt.NDArray[np.float32]
Curve = Callable[[FloatImage], FloatImage]

_BRIGHTEST = 1.3
"""Largest value of a rescaled image, of which the bright 0.3 % lie above 1."""
_SIGNAL = 300.0
"""Value that stands for 1 afterwards; the networks' inputs are rescaled anyway."""


@dataclass(frozen=True)
class Look:
    """What changes an image's look, sampled once for a scan, so that its slices change alike.

    Attributes
    ----------
    curve
        Maps intensities from 0 to 1.3 to others.
    field
        (3, 3) logarithm of a coil's sensitivity, from corner to corner.
    blur
        Standard deviation of a blur, in pixels; 0 for none.
    coarseness
        Pixels that were one pixel; 1 for none.
    noise
        Standard deviation of noise, as a share of the signal.
    ghost
        (rows by which a ghost is shifted, its strength).
    """

    curve: Curve
    field: npt.NDArray[np.float32]
    blur: float
    coarseness: float
    noise: float
    ghost: tuple[int, float]


def sample_look(rng: np.random.Generator) -> Look:
    """A random look, of which each part is left out at times."""

    def at_times(share: float, low: float, high: float, otherwise: float = 0.0) -> float:
        value = float(rng.uniform(low, high))
        return value if rng.random() < share else otherwise

    spread = at_times(0.5, 0.1, 0.5)
    return Look(
        curve=_sample_curve(rng),
        field=(spread * rng.standard_normal((3, 3))).astype(np.float32),
        blur=at_times(0.3, 0.4, 1.3),
        coarseness=at_times(0.2, 1.3, 2.5, otherwise=1.0),
        noise=at_times(0.4, 0.01, 0.08),
        ghost=(int(rng.integers(5, 60)), at_times(0.1, 0.03, 0.15)),
    )


def looking(image: npt.NDArray[Any], look: Look, rng: np.random.Generator) -> FloatImage:
    """A slice (rows, columns) with another look; ``rng`` draws its noise.

    Returns
    -------
    ndarray
        (rows, columns) float32, 0 and more.
    """
    low, high = np.percentile(image[::4, ::4], (1, 99.7))
    rescaled = (image.astype(np.float32) - np.float32(low)) / np.float32(max(float(high - low), 1e-3))
    seen = look.curve(np.clip(rescaled, 0, _BRIGHTEST))
    rows, columns = seen.shape
    if look.field.any():
        field = cv2.resize(look.field, (columns, rows), interpolation=cv2.INTER_CUBIC)
        seen = seen * np.exp(field)
    if look.blur:
        seen = cv2.GaussianBlur(seen, (0, 0), look.blur).astype(np.float32)
    if look.coarseness > 1:
        fewer = (max(8, int(columns / look.coarseness)), max(8, int(rows / look.coarseness)))
        coarse = cv2.resize(seen, fewer, interpolation=cv2.INTER_AREA)
        seen = cv2.resize(coarse, (columns, rows), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    shift, strength = look.ghost
    if strength:
        seen = seen + np.float32(strength) * np.roll(seen, shift, axis=0)
    if look.noise:
        seen = seen + np.float32(look.noise) * rng.standard_normal(seen.shape, dtype=np.float32)
    return np.asarray(np.abs(seen) * _SIGNAL, np.float32)


def volume_looking(volume: npt.NDArray[Any], look: Look, rng: np.random.Generator) -> FloatImage:
    """A volume (rows, columns, slices) of which each slice has the same other look, and noise of its own."""
    return np.stack([looking(volume[:, :, k], look, rng) for k in range(volume.shape[2])], axis=2)


def _sample_curve(rng: np.random.Generator) -> Curve:
    """As it is, darker or brighter in between, another order-keeping curve, or one that keeps no order."""
    kind = rng.random()
    if kind < 0.15:
        return lambda image: image
    if kind < 0.35:
        power = np.float32(np.exp(rng.normal(0, 0.3)))
        return lambda image: np.asarray(image**power, np.float32)
    if kind < 0.6:
        at = np.linspace(0, _BRIGHTEST, int(rng.integers(3, 6)))
        to = np.cumsum(rng.uniform(0.05, 1, len(at)))
        return _through(at, (to - to[0]) / (to[-1] - to[0]))
    inner = np.sort(rng.uniform(0.05, 1.2, int(rng.integers(2, 6))))
    to = rng.uniform(0, 1, len(inner) + 2)
    to[0] *= 0.25  # air stays dark
    return _through(np.array([0.0, *inner, _BRIGHTEST]), to)


def _through(at: npt.NDArray[np.float64], to: npt.NDArray[np.float64]) -> Curve:
    return lambda image: np.interp(image, at, to).astype(np.float32)


def sample_pose(
    rng: np.random.Generator,
    shape: tuple[int, int],
    *,
    turn: float = 5.0,
    scale: float = 1.25,
    stretch: float = 0.05,
    shift: float = 0.05,
) -> Points:
    """A random affine map (2, 3) of a slice's pixels (x, y) about its middle; never a mirror image.

    Parameters
    ----------
    shape
        (rows, columns).
    turn
        Standard deviation of the rotation in degrees.
    scale
        Largest factor by which it grows or shrinks.
    stretch
        Standard deviation of the logarithm of width over height, and of the shear.
    shift
        Largest shift as a share of the slice.
    """
    angle = np.deg2rad(rng.normal(0, turn))
    factor = np.exp(rng.uniform(-np.log(scale), np.log(scale)))
    longer = np.exp(rng.normal(0, stretch))
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turned @ np.array([[factor * longer, rng.normal(0, stretch)], [0, factor / longer]])
    size = np.array(shape[::-1])
    moved = size / 2 - matrix @ (size / 2) + rng.uniform(-shift, shift, 2) * size
    pose: Points = np.c_[matrix, moved]
    return pose
