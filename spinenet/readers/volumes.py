"""A volume that one file holds whole becomes a Scan, whatever its axes: NIfTI and MetaImage."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt

from spinenet.errors import ScanError
from spinenet.readers.facts import FLAGS, sequence_of
from spinenet.readers.orientation import OBLIQUE_FLAG_DEGREES, reorient, sagittal_axes
from spinenet.readers.stacks import MAX_VOXELS, MIN_SLICES
from spinenet.types import Scan

MAX_ANISOTROPY = 1.5
"""How much longer than the left-right step the longest in-plane step may be: beyond, slices were taken
in another plane than the sagittal one."""


def check_held(shape: Sequence[int], itemsize: int, held: int) -> None:
    """Check a header's claim against the bytes that there are, before anything is allocated.

    Parameters
    ----------
    shape
        Voxels along each axis.
    itemsize
        Bytes of a voxel.
    held
        Bytes that the file holds for them.

    Raises
    ------
    ScanError
        too_large or bad_pixels.
    """
    voxels = int(np.prod(np.array(shape, dtype=object)))
    if voxels > MAX_VOXELS:
        raise ScanError(
            "too_large", f"the image has {voxels >> 20} Mi voxels; the most is {MAX_VOXELS >> 20} Mi"
        )
    needed = voxels * itemsize
    if min(shape) < 1 or held < needed:
        raise ScanError("bad_pixels", f"the file holds {max(held, 0)} of the {needed} bytes of its voxels")


def whole_volume(
    stored: npt.NDArray[np.float32], affine: npt.NDArray[np.float64], name: str, digests: Sequence[str]
) -> Scan:
    """Turn a volume to the canonical orientation.

    Parameters
    ----------
    stored
        (3-D) values, any axes.
    affine
        (4, 4): indices to patient mm (LPS).
    name
        The file's name, of which only marks such as T2w are used.
    digests
        SHA-256 of each file that the volume came from.

    Raises
    ------
    ScanError
        missing_tags, not_sagittal or too_few_slices.
    """
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise ScanError("missing_tags", "the image's affine spans no volume")
    axes = sagittal_axes(affine)
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    if steps.max() > MAX_ANISOTROPY * steps[axes.order[2]]:
        raise ScanError(
            "not_sagittal", "the voxels are longest within the sagittal plane, so it is not the slices'"
        )
    if stored.shape[axes.order[2]] < MIN_SLICES:
        raise ScanError(
            "too_few_slices", f"the image has {stored.shape[axes.order[2]]} slices; the least is {MIN_SLICES}"
        )
    noted = {"oblique"} if axes.obliquity > OBLIQUE_FLAG_DEGREES else set()
    if not np.isfinite(stored).all():
        noted.add("not_finite")
        stored = np.nan_to_num(stored, nan=0.0, posinf=0.0, neginf=0.0)
    volume, affine = reorient(stored, affine, axes)
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    return Scan(
        volume=volume,
        pixel_spacing=(float(np.linalg.norm(affine[:3, 0])), float(np.linalg.norm(affine[:3, 1]))),
        slice_spacing=abs(float(affine[:3, 2] @ normal / np.linalg.norm(normal))),
        affine=affine,
        sequence=sequence_of(None, None, None, description=PurePosixPath(name).name.replace("_", " ")),
        flags=tuple(flag for flag in FLAGS if flag in noted),
        fingerprint=sha256("\n".join(sorted(digests)).encode()).hexdigest(),
    )
