"""A path becomes one Scan, or the reason why it cannot."""

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
    fetched = fetch(path, storage_options)
    every = all_unpacked(fetched.files)
    # what was passed over by its name is told, and has no say
    files = {name: every[name] for name in sorted(opened_in_folder(every))}
    if len(files) == 1 and not fetched.archive:
        files |= _header_of(path, next(iter(files.items())), storage_options)
    image = None if any(map(is_dicom, files.values())) else only_image(files)
    if image is not None:
        scan = _read_image(image, path, files, storage_options)
    else:
        try:
            scan = read_dicom(every, series_uid=series_uid, overrides=overrides)
        except ScanError as error:
            raise (_unread(files) if error.reason == "not_dicom" else None) or error from None
    return to_thick_slices(straighten(scan))


def _header_of(
    path: str, only: tuple[str, bytes], storage_options: Mapping[str, Any] | None
) -> dict[str, bytes]:
    """The header beside a file of voxels that is a path's only one; none beside any other that can be read.

    Raises
    ------
    ScanError
        unsupported_format or unreadable, of a file that cannot.
    """
    name, data = only
    if is_dicom(data) or is_image(name):
        return {}
    header = pair_of(name)
    found = fetch_beside(path, [header], storage_options) if header is not None else {}
    if found:
        return found
    what = unread_format(name, data[:HEAD])
    if what is not None:
        raise unsupported(what)
    if is_archive_name(name):
        raise ScanError("unreadable", "the file is named as an archive and is none that can be read")
    return {}


def _unread(files: Mapping[str, bytes]) -> ScanError | None:
    """The error of files none of which is an image, if one is of a format that is known."""
    for name, data in files.items():
        what = CLOSED if is_archive(data[:HEAD]) else unread_format(name, data[:HEAD])
        if what is not None:
            return unsupported(what, among_others=True)
    return None


def _read_image(
    image: str, path: str, files: dict[str, bytes], storage_options: Mapping[str, Any] | None
) -> Scan:
    """Read a volume with what lies beside it: in its archive or folder, or where a file was given, there."""
    voxels = voxels_of(image, files[image])
    if len(files) == 1 and voxels is not None:
        files |= fetch_beside(path, [voxels], storage_options)
    wanted = sidecar_names(image)
    sidecars = {name: files[name] for name in wanted if name in files}
    if set(files) <= {image, voxels}:
        sidecars |= fetch_beside(path, wanted, storage_options)
    scan = read_image(image, files)
    check_alternation(scan.volume.transpose(2, 0, 1))
    return described(scan, image, [sidecars[name] for name in wanted if name in sidecars])
