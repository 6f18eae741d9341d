"""A NIfTI file becomes one Scan, by nibabel (the extra ``nifti``)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from spinenet.errors import ScanError
from spinenet.readers.facts import FLAGS, sequence_of
from spinenet.readers.limits import GZIP_MAGIC, gunzip
from spinenet.readers.orientation import (
    OBLIQUE_FLAG_DEGREES,
    Axes,
    is_isotropic,
    is_sheared,
    reorient,
    sagittal_axes,
    slice_distance,
)
from spinenet.readers.stacks import MAX_VOXELS, MIN_SLICES, UNIT_TOLERANCE
from spinenet.types import Scan

MAX_ANISOTROPY = 1.5
"""How much longer than the left-right step the longest in-plane step may be: beyond, slices were taken
in another plane than the sagittal one, and only voxels that are fine in every direction are read."""


@dataclass(frozen=True)
class Grid:
    """What a header says of a scan's grid; attributes as those of :class:`spinenet.types.Scan`."""

    shape: tuple[int, int, int]
    pixel_spacing: tuple[float, float]
    slice_spacing: float


_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_TO_MM = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}


def is_nifti(name: str) -> bool:
    """Whether a file's name says NIfTI."""
    return name.lower().endswith((".nii", ".nii.gz"))


def read_nifti(name: str, data: bytes) -> Scan:
    """Read a three-dimensional NIfTI-1 or NIfTI-2 image.

    Parameters
    ----------
    name
        The file's name, of which only marks such as T2w are used.
    data
        Its bytes, gzip'd or not.

    Raises
    ------
    ScanError
        unreadable, bad_pixels, unsupported_image, missing_tags, not_sagittal, too_few_slices or too_large.
    """
    digest = sha256(data).hexdigest()
    if data.startswith(GZIP_MAGIC):
        data = gunzip(data)
    image = _parse(data)
    _check_image(image, len(data))
    affine, axes = _geometry(image)
    stored = _voxels(image)
    noted = {"oblique"} if axes.obliquity > OBLIQUE_FLAG_DEGREES else set()
    if is_sheared(affine, axes.order[2]):
        noted.add("sheared")
    if not np.isfinite(stored).all():
        noted.add("not_finite")
        stored = np.nan_to_num(stored, nan=0.0, posinf=0.0, neginf=0.0)
    volume, affine = reorient(stored, affine, axes)
    return Scan(
        volume=volume,
        pixel_spacing=(float(np.linalg.norm(affine[:3, 0])), float(np.linalg.norm(affine[:3, 1]))),
        slice_spacing=slice_distance(affine),
        affine=affine,
        sequence=sequence_named(name),
        flags=tuple(flag for flag in FLAGS if flag in noted),
        fingerprint=sha256(digest.encode()).hexdigest(),
    )


def nifti_grid(head: bytes, size: int | None = None) -> Grid:
    """The sagittal grid of an image, from its header.

    Parameters
    ----------
    head
        The file's first bytes, not gzip'd, at least 544.
    size
        Of the whole file, where it is not gzip'd.

    Raises
    ------
    ScanError
        As :func:`read_nifti`, but for what only the voxels can show.
    """
    image = _parse(head)
    _check_image(image, size)
    affine, axes = _geometry(image)
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    rows, columns, slices = (int(image.shape[axis]) for axis in axes.order)
    row_mm, column_mm = (float(steps[axis]) for axis in axes.order[:2])
    return Grid((rows, columns, slices), (row_mm, column_mm), slice_distance(affine, axes.order[2]))


def sequence_named(name: str) -> str:
    """The contrast that a file's name states, such as T2w in BIDS."""
    return sequence_of(None, None, None, description=PurePosixPath(name).name.replace("_", " "))


def _geometry(image: Any) -> tuple[npt.NDArray[np.float64], Axes]:
    affine = _affine(image)
    axes = sagittal_axes(affine)
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    rows, columns = (affine[:3, axis] / steps[axis] for axis in axes.order[:2])
    if abs(rows @ columns) > UNIT_TOLERANCE:
        raise ScanError("missing_tags", "the image's affine has no right angle between rows and columns")
    if steps.max() > MAX_ANISOTROPY * steps[axes.order[2]] and not is_isotropic(steps):
        raise ScanError(
            "not_sagittal", "the voxels are longest within the sagittal plane, so it is not the slices'"
        )
    slices = int(image.shape[axes.order[2]])
    if slices < MIN_SLICES:
        raise ScanError("too_few_slices", f"the image has {slices} slices; the least is {MIN_SLICES}")
    return affine, axes


def _parse(data: bytes) -> Any:
    try:
        import nibabel
    except ImportError:
        raise ScanError("unreadable", "NIfTI needs nibabel: pip install 'spinenet[nifti]'") from None
    # the header's first number is its size: 348 in NIfTI-1, 540 in NIfTI-2
    kind = nibabel.Nifti2Image if data[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c") else nibabel.Nifti1Image
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return kind.from_bytes(data)
    except Exception as error:
        raise ScanError("unreadable", f"the NIfTI header cannot be read ({type(error).__name__})") from None


def _check_image(image: Any, size: int | None) -> None:
    """From the header alone, so that its claims allocate nothing; ``size`` is the file's, if known."""
    shape, dtype = image.shape, image.get_data_dtype()
    if (
        len([length for length in shape if length != 1]) > 3
        or len(shape) < 3
        or any(n != 1 for n in shape[3:])
    ):
        raise ScanError("unsupported_image", f"the image has the shape {shape}, not one volume")
    if dtype.kind not in "iuf":
        raise ScanError("unsupported_image", "the voxels are colours or complex numbers")
    voxels = int(np.prod(shape, dtype=object))
    if voxels > MAX_VOXELS:
        raise ScanError(
            "too_large", f"the image has {voxels >> 20} Mi voxels; the most is {MAX_VOXELS >> 20} Mi"
        )
    needed = image.dataobj.offset + voxels * dtype.itemsize
    if voxels < 1 or (size is not None and size < needed):
        raise ScanError("bad_pixels", f"the file holds {size} of the {needed} bytes of its voxels")
    if int(image.header["sform_code"]) == 0 and int(image.header["qform_code"]) == 0:
        raise ScanError("missing_tags", "the image states no orientation (sform and qform codes are 0)")


def _voxels(image: Any) -> npt.NDArray[np.float32]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            voxels = image.get_fdata(dtype=np.float32, caching="unchanged")
    except Exception as error:
        raise ScanError("bad_pixels", f"the voxels cannot be read ({type(error).__name__})") from None
    return np.asarray(voxels).reshape(image.shape[:3])


def _affine(image: Any) -> npt.NDArray[np.float64]:
    """(4, 4) to LPS in mm; the file's own is to RAS."""
    try:
        scale = _TO_MM.get(image.header.get_xyzt_units()[0], 1.0)
    except KeyError:
        scale = 1.0
    affine = _TO_LPS @ np.asarray(image.affine, dtype=np.float64)
    affine[:3] *= scale
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise ScanError("missing_tags", "the image's affine spans no volume")
    return affine
