"""Chooses and reads the NIfTI or MetaImage file of a path."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping

from spinenet.errors import ScanError
from spinenet.readers.volumes.labels import check_name, images_among
from spinenet.readers.volumes.metaimage import data_file, is_metaimage, read_metaimage
from spinenet.readers.volumes.nifti import PAIRS, is_nifti, pair_of, read_nifti
from spinenet.types import Scan

VOLUMES = (".nii", ".nii.gz", ".mha", ".mhd", *PAIRS)
"""Endings of files that hold a volume, or the header of one; the voxels' file of a pair is none of them."""

SEVERAL = ScanError("several_series", "the path holds several images: name one of the files as the path")


def is_image(name: str) -> bool:
    """Whether a file's name says that it holds a volume, or the header of one."""
    return is_nifti(name) or is_metaimage(name)


def only_image(names: Iterable[str]) -> str | None:
    """The only image among files, by their names and without masks; None if there is none.

    Raises
    ------
    ScanError
        several_series; not_image, if there is nothing but a mask.
    """
    images = images_among(name for name in names if is_image(name))
    if len(images) > 1:
        raise SEVERAL
    for name in images:
        check_name(name)
        return name
    return None


def voxels_of(name: str, head: bytes) -> str | None:
    """Name of the file beside an image's that holds its voxels; None where its own does.

    Parameters
    ----------
    name
        The image's, with its folder.
    head
        Its first bytes, at least as many as its header has.

    Raises
    ------
    ScanError
        As :func:`spinenet.readers.volumes.metaimage.data_file`.
    """
    if not is_metaimage(name):
        return pair_of(name)
    named = data_file(head)
    return None if named is None else posixpath.join(posixpath.dirname(name), named)


def read_image(name: str, files: Mapping[str, bytes], *, labels: bool = False) -> Scan:
    """Read a volume; errors as :func:`read_nifti` and :func:`read_metaimage`.

    Parameters
    ----------
    name
        The image's key among the files.
    files
        Bytes by name; the voxels' file, if there is one, in the image's folder.
    labels
        Whether a label map is wanted, and not refused.
    """
    if is_metaimage(name):
        return read_metaimage(name, files, labels=labels)
    beside = pair_of(name)
    if beside is None:
        return read_nifti(name, files[name], labels=labels)
    if beside not in files:
        raise ScanError("no_pixels", "the file of voxels that belongs to the header is not there")
    return read_nifti(name, files[name], files[beside], labels=labels)
