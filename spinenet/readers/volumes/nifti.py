"""Reads a NIfTI file with nibabel (the extra ``nifti``)."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt

from spinenet.errors import ScanError
from spinenet.readers.sources.limits import GZIP_MAGIC, UnpackedTotal, gunzip
from spinenet.readers.space.orientation import Grid
from spinenet.readers.volumes.assembly import check_held, grid_of, whole_volume
from spinenet.readers.volumes.labels import check_values, may_be_labels
from spinenet.storage.causes import scan_error
from spinenet.types import Scan

_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_LABEL_INTENTS = (1002, 1003)
"""Codes of intent (NIFTI_INTENT_LABEL and _NEURONAME) of label maps."""

_TO_MM = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}


PAIRS = (".hdr", ".hdr.gz")
"""Endings of headers whose voxels lie in a file beside them."""


def is_nifti(name: str) -> bool:
    """Whether a file's name says NIfTI, or the header of a pair."""
    return name.lower().endswith((".nii", ".nii.gz", *PAIRS))


def pair_of(name: str) -> str | None:
    """The voxels' file of a header, or the header of a voxels' file; None for any other name."""
    for one, other in ((".hdr", ".img"), (".img", ".hdr")):
        for packed in ("", ".gz"):
            if name.lower().endswith(one + packed):
                stem, kept = name[: -len(one + packed)], name[len(name) - len(packed) :] if packed else ""
                written = name[len(stem) : len(stem) + len(one)]
                return stem + (other.upper() if written.isupper() else other) + kept
    return None


def read_nifti(name: str, data: bytes, voxels: bytes | None = None, *, labels: bool = False) -> Scan:
    """Read a three-dimensional NIfTI-1 or NIfTI-2 image.

    Parameters
    ----------
    name
        The file's name, of which only marks such as T2w are used.
    data
        Its bytes, gzip'd or not.
    voxels
        The bytes of the file beside it, if it is the header of a pair; gzip'd or not.
    labels
        Whether a label map is wanted, and not refused.

    Raises
    ------
    ScanError
        unreadable, bad_pixels, unsupported_image, not_image, missing_tags, not_sagittal, too_few_slices or
        too_large.
    """
    parts = [data] if voxels is None else [data, voxels]
    digests, size = [sha256(part).hexdigest() for part in parts], sum(map(len, parts))
    total = UnpackedTotal()
    parts = [gunzip(part, total=total) if part.startswith(GZIP_MAGIC) else part for part in parts]
    image = _parse(parts[0], paired=voxels is not None, voxels=parts[-1])
    _check_image(image, len(parts[-1]), labels=labels)
    stored = _voxels(image)
    if not labels and _may_be_labels(image, size):
        check_values(stored)
    return whole_volume(stored, _affine(image), name, digests)


def nifti_grid(head: bytes, size: int | None = None, *, paired: bool = False) -> Grid:
    """The sagittal grid of an image, from its header.

    What :func:`may_be_a_label_map` says of it is not asked.

    Parameters
    ----------
    head
        The file's first bytes, not gzip'd, at least 544.
    size
        Size in bytes of the file, or of a pair's voxels' file; None where it is gzip-packed.
    paired
        Whether the file is the header of a pair.

    Raises
    ------
    ScanError
        As :func:`read_nifti`, but for what only the voxels can show.
    """
    image = _parse(head, paired=paired)
    _check_image(image, size)
    return grid_of(_affine(image), image.shape[:3])


def may_be_a_label_map(head: bytes, n_bytes: int, *, paired: bool = False) -> bool:
    """Whether an image may be a label map, which only its voxels show; ``n_bytes`` is its size as stored.

    Raises
    ------
    ScanError
        unreadable.
    """
    return _may_be_labels(_parse(head, paired=paired), n_bytes)


def _may_be_labels(image: Any, n_bytes: int) -> bool:
    voxels = int(np.prod(np.array(image.shape, dtype=object)))
    return may_be_labels(voxels, image.get_data_dtype().itemsize, n_bytes)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence nibabel's warnings, and its log of the header values that it corrects."""
    log = logging.getLogger("nibabel.global")
    disabled, log.disabled = log.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.disabled = disabled


def _parse(data: bytes, *, paired: bool = False, voxels: bytes = b"") -> Any:
    try:
        import nibabel
    except ImportError:
        raise ScanError("package_missing", "NIfTI needs nibabel: pip install 'spinenet[nifti]'") from None
    # the header's first number is its size: 348 in NIfTI-1, 540 in NIfTI-2
    second = data[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c")
    if paired and not second and data[344:348] not in (b"ni1\0", b"n+1\0"):
        raise ScanError(
            "unsupported_format",
            "the header is none of NIfTI: an Analyze image states no orientation; convert it to NIfTI",
        )
    try:
        with _quiet():
            if not paired:
                return (nibabel.Nifti2Image if second else nibabel.Nifti1Image).from_bytes(data)
            pair: Any = nibabel.Nifti2Pair if second else nibabel.Nifti1Pair
            held = {"header": data, "image": voxels}
            return pair.from_file_map(
                {part: nibabel.FileHolder(fileobj=BytesIO(held[part])) for part in held}
            )
    except Exception as error:
        broken = ScanError("unreadable", f"the NIfTI header cannot be read ({type(error).__name__})")
        raise scan_error(error) or broken from None


def _check_image(image: Any, size: int | None, *, labels: bool = False) -> None:
    """Check an image by its header before anything is allocated; ``size`` is the file's in bytes."""
    shape, dtype = image.shape, image.get_data_dtype()
    if (
        len([length for length in shape if length != 1]) > 3
        or len(shape) < 3
        or any(n != 1 for n in shape[3:])
    ):
        raise ScanError("unsupported_image", f"the image has the shape {shape}, not one volume")
    if dtype.kind not in "iuf":
        raise ScanError("unsupported_image", "the voxels are colours or complex numbers")
    if not labels and int(image.header["intent_code"]) in _LABEL_INTENTS:
        raise ScanError("not_image", "the header says that the image is a label map")
    # the unpacked size of a gzip file is unknown without reading all of it
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
