"""What the four networks read and answer, and the published ones' sizes; without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PATCH_SIZE = 224
"""Rows and columns of a patch, the detector's input (arXiv:2007.02606, detection)."""

VERTEBRA_SHAPE = (224, 224, 16)
"""(rows, columns, slices) of a vertebra volume for the appearance network (arXiv:2205.01683, labelling)."""

DISC_SHAPE = (9, 112, 224)
"""(slices, rows, columns) of a disc volume for the grading network (arXiv:2205.01683, grading)."""

CENTROID_CHANNEL = 4
"""Channel of the centroids' responses, after the four of the corners (arXiv:2007.02606, detection)."""

X_ARROWS, Y_ARROWS = 5, 9
"""First of the four channels with the x and with the y components of the vectors from the corners to their
centroid (arXiv:2007.02606, detection)."""

RESPONSE_CHANNELS = 13
"""Channels of the detector's output: all of these (arXiv:2007.02606, detection)."""

TEMPERATURE = 10.0
"""Temperature of the softmax of both labelling networks (arXiv:2205.01683, labelling)."""

Architecture = Mapping[str, Mapping[str, Any]]
"""Keyword arguments of each network's class, by the network's name."""

PUBLISHED_ARCHITECTURE: Architecture = {
    "detector": {"width": 64, "blocks": [3, 4, 6, 3]},
    "appearance": {"width": 8, "hidden": 256},
    "context": {"width": 16},
    "grading": {"width": 64, "blocks": [3, 4, 6, 3]},
}
"""Sizes of the published SpineNetV2 networks."""
