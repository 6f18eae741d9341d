"""Training samples of the context network: simulated outputs of the appearance network for a whole spine."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.special import softmax

from spinenet.anatomy import LEVEL_INDEX, LEVELS
from spinenet.stages.levels import CONTEXT_ROW_MULTIPLE, centroid_rows, context_image
from spinenet.synthetic.image import sample_subject, true_vertebrae
from spinenet.training.samples import UNLABELLED, ContextSample

ROWS = 3 * CONTEXT_ROW_MULTIPLE
"""Rows (mm) of every training image: they hold a whole spine."""
_KINDS = ("lumbar", "lumbar", "cervical", "whole")


def confused_probabilities(level: int, rng: np.random.Generator, blur: float, strength: float) -> np.ndarray:
    """(24,) probabilities that are highest near a level, as an unsure network gives them."""
    classes = np.arange(len(LEVELS))
    centre = level + rng.normal(0, 0.45 * blur)
    logits = -0.5 * ((classes - centre) / blur) ** 2
    if level in (0, len(LEVELS) - 1) and rng.random() < 0.9:
        logits[level] += rng.uniform(1, 4)
    elif rng.random() < 0.95:
        logits[[0, -1]] -= 3
    logits = strength * np.maximum(logits, -8) + rng.normal(0, 0.5, len(LEVELS))
    return np.asarray(softmax(logits))


def context_samples(seed: int) -> Iterator[ContextSample]:
    """The column of one subject of any kind, of ``ROWS`` rows, or none."""
    rng = np.random.default_rng([seed, 19])
    subject = sample_subject(rng, kind=str(rng.choice(_KINDS)))
    spacing = subject.acquisition.pixel_spacing[0]
    image, levels = np.zeros((ROWS, len(LEVELS)), np.float32), np.full(ROWS, UNLABELLED)
    blur, strength = float(rng.uniform(0.25, 3.0)), float(rng.uniform(0.5, 1.5))
    missed = rng.uniform(0, 0.06)
    for vertebra in true_vertebrae(subject):
        if vertebra.share_in_view < 0.4 or rng.random() < missed:
            continue
        quad_mm = vertebra.quads.mean(axis=0) * spacing
        band = context_image(ROWS, 1.0, [quad_mm], [np.ones(len(LEVELS))]).any(axis=1)
        if band.any():
            level = LEVEL_INDEX[vertebra.level]
            image[band] = confused_probabilities(level, rng, blur, strength)
            levels[centroid_rows(ROWS, 1.0, [quad_mm])] = level
    if (levels >= 0).any():
        yield ContextSample(image, levels)
