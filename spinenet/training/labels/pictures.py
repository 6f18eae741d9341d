"""Slices and masks that are stored as pictures: PNG, JPEG and what else OpenCV reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from spinenet.errors import LabelsError


def read_picture(path: Path) -> npt.NDArray[np.generic]:
    """(rows, columns) values of a grey picture, as they are stored.

    Raises
    ------
    LabelsError
        It is no picture, or in colour.
    OSError
        It is not there.
    """
    stored = np.frombuffer(path.read_bytes(), np.uint8)
    picture = cv2.imdecode(stored, cv2.IMREAD_UNCHANGED) if len(stored) else None
    if picture is None:
        raise LabelsError(f"{path.name} is no picture that can be read")
    # a palette's or a grey picture's three equal channels are one
    channels = picture[..., :3] if picture.ndim == 3 else picture[..., None]
    if (channels != channels[..., :1]).any():
        raise LabelsError(f"{path.name} is in colour")
    return np.ascontiguousarray(channels[..., 0])


def read_stack(paths: Sequence[Path]) -> npt.NDArray[np.float32]:
    """(rows, columns, slices) float32 of pictures of one size; errors as :func:`read_picture`."""
    pictures = [read_picture(path) for path in paths]
    if len({picture.shape for picture in pictures}) > 1:
        raise LabelsError(f"the slices beside {paths[0].name} differ in size")
    return np.stack(pictures, axis=2).astype(np.float32)
