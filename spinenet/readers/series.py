"""A path becomes one Scan, or the reason why it cannot."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from spinenet.readers.dicom import read_dicom
from spinenet.readers.files import fetch
from spinenet.readers.nifti import is_nifti, read_nifti
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
        A DICOM folder (searched recursively), a file, a zip archive, a glob or a NIfTI file, at any
        fsspec URL.
    series_uid
        SeriesInstanceUID of the series to take where the path holds several usable ones.
    storage_options
        Passed to the filesystem.
    overrides
        Values for PixelSpacing, SliceThickness or ImageOrientationPatient that replace those of the
        headers; numbers apart by any sign, in mm.

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
    files = fetch(os.fspath(path), storage_options)
    images = [name for name in files if is_nifti(name)]
    if len(images) == 1 and not any(data[128:132] == b"DICM" for data in files.values()):
        scan = read_nifti(images[0], files[images[0]])
    else:
        scan = read_dicom(files, series_uid=series_uid, overrides=overrides)
    return to_thick_slices(straighten(scan))
