"""Cuts the detector's training patches from a slice with the quads of its bodies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from spinenet.geometry import Points
from spinenet.networks.shapes import PATCH_SIZE
from spinenet.stages.windows import cut_patch, tile
from spinenet.training.samples import PatchSample
from spinenet.types import ImageArray, Window

_BEYOND = 4.0
"""Patch pixels by which a body may reach out of a patch and still be a target."""


def patches_of(
    image: ImageArray,
    quads: Sequence[Points],
    spacing_mm: float,
    rng: np.random.Generator,
    *,
    count: int,
    counts: npt.NDArray[np.bool_] | None = None,
    weights: npt.NDArray[np.float64] | None = None,
) -> Iterator[PatchSample]:
    """Patches of some of the windows that inference would look at, each moved and shrunk a little.

    Parameters
    ----------
    image
        (rows, columns) intensities.
    quads
        (4, 2) corners (x, y) in pixels of every body that the slice shows.
    spacing_mm
        Edge of its pixels.
    count
        Patches at the most.
    counts
        As ``image``: pixels of which is known whether they belong to a body; None where all are.
    weights
        How often each window of :func:`spinenet.stages.windows.tile` is chosen, relative to the others.
    """
    windows, _ = tile(image.shape[0], image.shape[1], spacing_mm)
    if weights is None:
        # windows at the far edges can be equal
        windows = tuple(dict.fromkeys(windows))
    shares = None if weights is None else weights / weights.sum()
    for index in rng.choice(len(windows), min(count, len(windows)), replace=False, p=shares):
        window = _jittered(windows[int(index)], image.shape, rng)
        scale = PATCH_SIZE / np.array([window.width, window.height])
        inside = [(quad + 0.5 - [window.left, window.top]) * scale - 0.5 for quad in quads]
        inside = [
            quad
            for quad in inside
            if (quad.max(axis=0) > -_BEYOND).all() and (quad.min(axis=0) < PATCH_SIZE + _BEYOND).all()
        ]
        yield PatchSample(
            image=cut_patch(image, window).astype(np.float16),
            quads=np.array(inside, np.float32).reshape(-1, 4, 2),
            counts=None if counts is None else _cut_counts(counts, window),
        )


def _cut_counts(counts: npt.NDArray[np.bool_], window: Window) -> npt.NDArray[np.bool_]:
    part = counts[window.top : window.bottom, window.left : window.right].astype(np.uint8)
    return cv2.resize(part, (PATCH_SIZE, PATCH_SIZE), interpolation=cv2.INTER_NEAREST) > 0


def _jittered(window: Window, shape: tuple[int, ...], rng: np.random.Generator) -> Window:
    """A window shifted and shrunk at random by up to a tenth, inside the slice."""
    edge = int(min(window.height, window.width) * rng.uniform(0.88, 1.0))
    move = rng.uniform(-0.1, 0.1, 2) * edge
    top = int(np.clip(window.top + move[0], 0, shape[0] - edge))
    left = int(np.clip(window.left + move[1], 0, shape[1] - edge))
    return Window(top, top + edge, left, left + edge)
