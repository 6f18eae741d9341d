"""A NIfTI file becomes one Scan, by nibabel (the extra ``nifti``)."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt

from spinenet.errors import ScanError
from spinenet.readers.limits import GZIP_MAGIC, gunzip
from spinenet.readers.orientation import Grid
from spinenet.readers.volumes import check_held, grid_of, whole_volume
from spinenet.storage.causes import scan_error
from spinenet.types import Scan

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
    stored = _voxels(image)
    return whole_volume(stored, _affine(image), name, [digest])


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
    return grid_of(_affine(image), image.shape[:3])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back nibabel's warnings, and its log, in which it tells what of a header it mends."""
    log = logging.getLogger("nibabel.global")
    disabled, log.disabled = log.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.disabled = disabled


def _parse(data: bytes) -> Any:
    try:
        import nibabel
    except ImportError:
        raise ScanError("package_missing", "NIfTI needs nibabel: pip install 'spinenet[nifti]'") from None
    # the header's first number is its size: 348 in NIfTI-1, 540 in NIfTI-2
    kind = nibabel.Nifti2Image if data[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c") else nibabel.Nifti1Image
    try:
        with _quiet():
            return kind.from_bytes(data)
    except Exception as error:
        broken = ScanError("unreadable", f"the NIfTI header cannot be read ({type(error).__name__})")
        raise scan_error(error) or broken from None


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
    # how much a gzip'd file holds is not known from its head
    held = None if size is None else size - image.dataobj.offset
    check_held(shape, dtype.itemsize, held)
    if int(image.header["sform_code"]) == 0 and int(image.header["qform_code"]) == 0:
        raise ScanError("missing_tags", "the image states no orientation (sform and qform codes are 0)")


def _voxels(image: Any) -> npt.NDArray[np.float32]:
    try:
        with _quiet():
            voxels = image.get_fdata(dtype=np.float32, caching="unchanged")
    except Exception as error:
        broken = ScanError("bad_pixels", f"the voxels cannot be read ({type(error).__name__})")
        raise scan_error(error) or broken from None
    return np.asarray(voxels).reshape(image.shape[:3])


def _affine(image: Any) -> npt.NDArray[np.float64]:
    """(4, 4) to LPS in mm; the file's own is to RAS."""
    try:
        scale = _TO_MM.get(image.header.get_xyzt_units()[0], 1.0)
    except KeyError:
        scale = 1.0
    affine = _TO_LPS @ np.asarray(image.affine, dtype=np.float64)
    affine[:3] *= scale
    return affine
