"""Straightens sheared stacks: slices are shifted within their planes until they lie behind one another."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import cv2
import numpy as np
import numpy.typing as npt

from spinenet.geometry import Points
from spinenet.readers.space.orientation import is_sheared
from spinenet.types import FloatArray, Scan


def straighten(scan: Scan) -> Scan:
    """Move the slices of a sheared scan within their planes, so that one pixel is one line along the normal.

    The networks look at the same pixels of neighbouring slices, so these must show the same place.

    Parameters
    ----------
    scan
        Canonical axes; flagged "sheared" by its reader.

    Returns
    -------
    Scan
        The same object where the slices lie straight to within
        :data:`spinenet.readers.space.orientation.SHEAR_FLAG_DEGREES`; else a scan of the same size, its
        middle slice unchanged, the others cubic and zero where they were not imaged, with the affine to
        match.
    """
    if not is_sheared(scan.affine):
        return scan
    rows, columns, step = scan.affine[:3, :3].T
    normal = np.cross(rows, columns)
    normal /= np.linalg.norm(normal)
    askew = step - (step @ normal) * normal
    middle = scan.shape[2] // 2
    # (x, y) pixels by which each slice is shifted against the one before it
    offset: Points = np.array([askew @ columns / (columns @ columns), askew @ rows / (rows @ rows)])
    volume = np.empty(scan.shape, dtype=np.float32)
    for index in range(scan.shape[2]):
        volume[:, :, index] = _moved(scan.volume[:, :, index], (middle - index) * offset)
    affine = scan.affine.copy()
    affine[:3, 2] -= askew
    affine[:3, 3] += middle * askew
    return replace(
        scan,
        volume=np.clip(volume, scan.volume.min(), scan.volume.max(), out=volume),
        affine=affine,
        # detections in the sheared pixels must not be reused for these
        fingerprint=sha256(f"{scan.fingerprint} straightened".encode()).hexdigest(),
    )


def _moved(image: FloatArray, offset: Points) -> npt.NDArray[np.float32]:
    """(H, W) image that shows at (x, y) what the given one shows at (x, y) + offset."""
    matrix = np.column_stack([np.eye(2), offset])
    moved = cv2.warpAffine(
        np.ascontiguousarray(image, dtype=np.float32),
        matrix,
        image.shape[::-1],
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
    )
    return np.asarray(moved, dtype=np.float32)
