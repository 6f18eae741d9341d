"""Reads one sagittal series from a path, whatever its format."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from spinenet.errors import ScanError
from spinenet.readers.dicom.alternation import check_alternation
from spinenet.readers.dicom.assembly import read_dicom
from spinenet.readers.sources.archives import HEAD, is_archive
from spinenet.readers.sources.files import fetch, fetch_beside, is_archive_name, opened_in_folder
from spinenet.readers.sources.formats import CLOSED, unread_format, unsupported
from spinenet.readers.sources.packing import all_unpacked
from spinenet.readers.sources.part10 import is_dicom
from spinenet.readers.space.reformat import to_thick_slices
from spinenet.readers.space.shear import straighten
from spinenet.readers.volumes.assembly import described
from spinenet.readers.volumes.images import is_image, only_image, read_image, voxels_of
from spinenet.readers.volumes.nifti import pair_of
from spinenet.readers.volumes.sidecars import sidecar_names
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
        file, at any fsspec URL. DICOM and NIfTI files may be gzip'd, DICOM files packed with bzip2 or xz, and
        tars with any of these.
    series_uid
        SeriesInstanceUID of the series to read, needed where the path holds several usable ones.
    storage_options
        Options for the fsspec filesystem.
    overrides
        Values for PixelSpacing, SliceThickness or ImageOrientationPatient that replace those of the
        headers; numbers in mm, separated by backslash, semicolon, space or comma.

    Returns
    -------
    Scan
        Scan with rows cranial to caudal, columns anterior to posterior, slices right to left. Sheared stacks
        are straightened (flag "sheared") and thin slices averaged to about 4 mm (flag "reformatted"); indices
        and affine are those of the result.

    Raises
    ------
    ScanError
        The reason, of :data:`spinenet.anatomy.REASONS`, and one sentence without names and paths.

    Examples
    --------
    >>> from spinenet.readers.series import read_scan
    >>> scan = read_scan("scan")
    >>> scan.sequence, scan.shape[2], scan.volume.ndim
    ('T2', 3, 3)
    >>> read_scan("nowhere")
    Traceback (most recent call last):
    spinenet.errors.ScanError: path_missing: the path does not exist
    """
    path = os.fspath(path)
    fetched = fetch(path, storage_options)
    unpacked = all_unpacked(fetched.files)
    # read_dicom gets all files, to report those that are ignored by their names; only these decide the format
    files = {name: unpacked[name] for name in sorted(opened_in_folder(unpacked))}
    if len(files) == 1 and not fetched.archive:
        files |= _header_of(path, next(iter(files.items())), storage_options)
    image = None if any(map(is_dicom, files.values())) else only_image(files)
    if image is not None:
        scan = _read_image(image, path, files, storage_options)
    else:
        try:
            scan = read_dicom(unpacked, series_uid=series_uid, overrides=overrides)
        except ScanError as error:
            raise (_unread(files) if error.reason == "not_dicom" else None) or error from None
    return to_thick_slices(straighten(scan))


def _header_of(
    path: str, only: tuple[str, bytes], storage_options: Mapping[str, Any] | None
) -> dict[str, bytes]:
    """Fetch the NIfTI header beside a path's only file, if that holds its voxels; else nothing.

    Raises
    ------
    ScanError
        unsupported_format or unreadable, if the file cannot be read at all.
    """
    name, data = only
    if is_dicom(data) or is_image(name):
        return {}
    header = pair_of(name)
    header_file = fetch_beside(path, [header], storage_options) if header is not None else {}
    if header_file:
        return header_file
    format_ = unread_format(name, data[:HEAD])
    if format_ is not None:
        raise unsupported(format_)
    if is_archive_name(name):
        raise ScanError("unreadable", "the file is named as an archive and is none that can be read")
    return {}


def _unread(files: Mapping[str, bytes]) -> ScanError | None:
    """The error of files without an image, if one has a recognised format that is not read."""
    for name, data in files.items():
        format_ = CLOSED if is_archive(data[:HEAD]) else unread_format(name, data[:HEAD])
        if format_ is not None:
            return unsupported(format_, among_others=True)
    return None


def _read_image(
    image: str, path: str, files: dict[str, bytes], storage_options: Mapping[str, Any] | None
) -> Scan:
    """Read a volume with its voxels and sidecars, from its archive or folder or from beside a single file."""
    voxels = voxels_of(image, files[image])
    if len(files) == 1 and voxels is not None:
        files |= fetch_beside(path, [voxels], storage_options)
    names = sidecar_names(image)
    sidecars = {name: files[name] for name in names if name in files}
    if set(files) <= {image, voxels}:
        sidecars |= fetch_beside(path, names, storage_options)
    scan = read_image(image, files)
    check_alternation(scan.volume.transpose(2, 0, 1))
    return described(scan, image, [sidecars[name] for name in names if name in sidecars])
