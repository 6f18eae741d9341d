"""Varied copies of a disc's or a body's image: moved, turned, and with another gain, curve and noise."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

SHIFT_PX, TURN_DEGREES, SCALE = 5.0, 5.0, 0.08
"""How far an image is moved and turned at the most, and by how much enlarged."""
GAIN, CURVE, NOISE = 0.2, 0.25, 0.03
"""Largest change of brightness, of the logarithm of the exponent, and standard deviation of noise."""


def varied(image: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """A copy of (slices, rows, columns) in [0, 1]; all slices move and change alike."""
    rows, columns = image.shape[1:]
    turn = cv2.getRotationMatrix2D(
        (columns / 2, rows / 2),
        float(rng.uniform(-TURN_DEGREES, TURN_DEGREES)),
        float(np.exp(rng.uniform(-SCALE, SCALE))),
    )
    turn[:, 2] = turn[:, 2] + rng.uniform(-SHIFT_PX, SHIFT_PX, 2)
    moved = np.stack([cv2.warpAffine(one, turn, (columns, rows), flags=cv2.INTER_LINEAR) for one in image])
    curve = np.exp(rng.uniform(-CURVE, CURVE))
    # the bodies' own value, a quarter, stays what it is
    bent = 0.25 * (np.clip(moved, 0, 1) / 0.25) ** curve * (1 + rng.uniform(-GAIN, GAIN))
    noise = rng.uniform(0, NOISE) * rng.standard_normal(image.shape, dtype=np.float32)
    # beyond the scan there is nothing, and so there is no noise
    return np.asarray(np.clip(bent + noise * (moved > 0), 0, 1), np.float32)
