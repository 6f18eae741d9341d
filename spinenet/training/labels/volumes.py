"""Reads a volume and the label map of its voxels, both turned to the same canonical axes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from spinenet.errors import LabelsError, ScanError
from spinenet.readers.space.orientation import is_sheared
from spinenet.readers.volumes.images import is_image, read_image, voxels_of
from spinenet.types import Scan

_SAME_PLACE = 0.5
"""Largest distance between a voxel of the image and that of its labels, in voxels."""


def read_labelled_volume(image: Path, mask: Path) -> tuple[Scan, npt.NDArray[np.int32]]:
    """A scan and the labels of its voxels.

    Labels are only turned and mirrored as the image is, each by its own header; they are never interpolated.

    Parameters
    ----------
    image, mask
        NIfTI or MetaImage files.

    Returns
    -------
    scan, labels
        The scan in canonical axes, its pixels as stored, and (rows, columns, slices) labels.

    Raises
    ------
    LabelsError
        One of the files cannot be read, or they do not lie on one grid.
    OSError
        One of the files is not there.
    """
    scan, labels = _read(image, labels=False), _read(mask, labels=True)
    if scan.shape != labels.shape:
        raise LabelsError(f"{mask.name} has {_times(labels)} voxels and {image.name} {_times(scan)}")
    # corners of both grids, in voxels of the image
    corners = np.array([[r, c, s, 1] for r in (0, 1) for c in (0, 1) for s in (0, 1)], np.float64)
    corners[:, :3] *= np.array(scan.shape) - 1
    moved = np.linalg.solve(scan.affine, labels.affine @ corners.T).T
    if np.abs(moved - corners).max() > _SAME_PLACE:
        raise LabelsError(f"{mask.name} lies elsewhere in the patient than {image.name}")
    if is_sheared(scan.affine):
        raise LabelsError(f"the slices of {image.name} lie askew behind one another, which is not read here")
    whole = np.round(labels.volume)
    if np.abs(whole - labels.volume).max() > 1e-3:
        raise LabelsError(f"{mask.name} has values that are no whole numbers, so it is no label map")
    return scan, whole.astype(np.int32)


def _read(path: Path, *, labels: bool) -> Scan:
    if not is_image(path.name):
        raise LabelsError(f"{path.name} is neither NIfTI nor MetaImage")
    files = {path.name: path.read_bytes()}
    try:
        beside = voxels_of(path.name, files[path.name])
        if beside is not None:
            files[beside] = (path.parent / beside).read_bytes()
        return read_image(path.name, files, labels=labels)
    except ScanError as error:
        raise LabelsError(f"{path.name} cannot be used: {error.detail}") from None


def _times(scan: Scan) -> str:
    return " x ".join(map(str, scan.shape))
