"""Target maps of the detector for a patch: Gaussian responses and arrows to the centroid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from spinenet.networks.shapes import CENTROID_CHANNEL, PATCH_SIZE, RESPONSE_CHANNELS, X_ARROWS, Y_ARROWS
from spinenet.types import CORNERS

CORNER_VARIANCE = 9.0
CENTROID_VARIANCE = 16.0
ARROW_RADIUS = 12.0
"""The rendered responses of the published computation, in patch pixels (arXiv:2007.02606)."""


def _gaussian(
    x: npt.NDArray[np.float32], y: npt.NDArray[np.float32], variance: float
) -> npt.NDArray[np.float32]:
    """(PATCH_SIZE, PATCH_SIZE) maximum over points of a unit Gaussian; zero where there is no point."""
    grid = np.arange(PATCH_SIZE, dtype=np.float32)
    across = np.exp(-((grid[None] - x[:, None]) ** 2) / (2 * variance))
    down = np.exp(-((grid[None] - y[:, None]) ** 2) / (2 * variance))
    return np.asarray((down[:, :, None] * across[:, None, :]).max(axis=0, initial=0.0), np.float32)


def detector_target(
    quads: Sequence[npt.NDArray[np.float64]],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Maps for the vertebrae of one patch.

    Parameters
    ----------
    quads
        (4, 2) corners (x, y) in patch pixels, order rt, rb, lb, lt.

    Returns
    -------
    maps
        (13, 224, 224): four corner responses, the centroid's, four x and four y arrow components.
    near
        (4, 224, 224): where each corner's arrow is defined.
    """
    maps = np.zeros((RESPONSE_CHANNELS, PATCH_SIZE, PATCH_SIZE), np.float32)
    near = np.zeros((len(CORNERS), PATCH_SIZE, PATCH_SIZE), bool)
    if not len(quads):
        return maps, near
    points = np.asarray(quads, np.float32)
    centres = points.mean(axis=1)
    maps[CENTROID_CHANNEL] = _gaussian(centres[:, 0], centres[:, 1], CENTROID_VARIANCE)
    grid = np.arange(PATCH_SIZE, dtype=np.float32)
    for corner in range(len(CORNERS)):
        x, y = points[:, corner, 0], points[:, corner, 1]
        maps[corner] = _gaussian(x, y, CORNER_VARIANCE)
        distance = (grid[None, None, :] - x[:, None, None]) ** 2 + (
            grid[None, :, None] - y[:, None, None]
        ) ** 2
        nearest = distance.argmin(axis=0)
        near[corner] = distance.min(axis=0) < ARROW_RADIUS**2
        arrows = centres - points[:, corner]
        maps[X_ARROWS + corner] = np.where(near[corner], arrows[nearest, 0], 0)
        maps[Y_ARROWS + corner] = np.where(near[corner], arrows[nearest, 1], 0)
    return maps, near
