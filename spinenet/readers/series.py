"""A path becomes one Scan, or the reason why it cannot."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from spinenet.errors import ScanError
from spinenet.readers.dicom import read_dicom
from spinenet.readers.files import fetch
from spinenet.readers.metaimage import data_file, is_metaimage, read_metaimage
from spinenet.readers.nifti import is_nifti, read_nifti
from spinenet.readers.part10 import is_dicom
from spinenet.readers.reformat import to_thick_slices
from spinenet.readers.shear import straighten
from spinenet.types import Scan


def read_scan(
    path: str | os.PathLike[str],
    *,
    series_uid: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
    overrides: Mapping[str, str] | None = None,
) -> Scan:
    """Read one sagittal series.

    Parameters
    ----------
    path
        A DICOM folder (searched recursively), a file, a zip or tar archive, a glob, or a NIfTI or MetaImage
        file, at any fsspec URL. DICOM and NIfTI files may be gzip'd.
    series_uid
        SeriesInstanceUID of the series to take where the path holds several usable ones.
    storage_options
        Passed to the filesystem.
    overrides
        Values for PixelSpacing, SliceThickness or ImageOrientationPatient that replace those of the
        headers; numbers in mm, apart by backslash, semicolon, space or comma.

    Returns
    -------
    Scan
        Rows cranial to caudal, columns anterior to posterior, slices right to left. Slices that lay askew
        are straightened (flag "sheared"), thin ones averaged to about 4 mm (flag "reformatted"); the
        scan's indices and affine are those of the result.

    Raises
    ------
    ScanError
        With a reason of :data:`spinenet.anatomy.REASONS` and one sentence free of names and paths.
    """
    path = os.fspath(path)
    files = fetch(path, storage_options)
    images = [name for name in files if is_nifti(name) or is_metaimage(name)]
    if len(images) == 1 and not any(is_dicom(data) for data in files.values()):
        (image,) = images
        if is_nifti(image):
            scan = read_nifti(image, files[image])
        else:
            scan = read_metaimage(image, files | _beside(path, files, storage_options))
    else:
        scan = read_dicom(files, series_uid=series_uid, overrides=overrides)
    return to_thick_slices(straighten(scan))


def _beside(
    path: str, files: Mapping[str, bytes], storage_options: Mapping[str, Any] | None
) -> dict[str, bytes]:
    """The voxels' file of a MetaImage header that was given alone."""
    alone = len(files) == 1 and path.lower().endswith(".mhd")
    named = data_file(next(iter(files.values()))) if alone else None
    if named is None:
        return {}
    folder, slash, _ = path.rpartition("/")
    try:
        return fetch(f"{folder}{slash}{named}", storage_options)
    except ScanError as error:
        if error.reason != "path_missing":
            raise
        raise ScanError("no_pixels", "the file of voxels that the header names is not there") from None
