"""Recognises masks and label maps, whose values are regions and not intensities."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from spinenet.errors import ScanError
from spinenet.readers.volumes.sidecars import sidecar_of

_ENDINGS = frozenset(
    (
        *(
            "seg",
            "dseg",
            "pseg",
            "softseg",
            "segmentation",
            "segmentations",
            "segm",
            "dlabel",
            "label",
            "labels",
        ),
        *("mask", "masks", "msk", "probseg", "roi", "rois", "lesion", "lesions", "rootlets", "centerline"),
        *("centreline", "groundtruth", "annotation", "annotations", "aseg", "aparc", "parcellation"),
    )
)
"""Last words of file names, and endings of them for those of four letters or more, in BIDS and outside it."""

_MOST_VALUES = 64
"""Most different values of a label map."""

_LARGEST = 255
"""Largest value of a label."""

_WORTH_COUNTING = 1 << 26
"""Voxels of the largest image whose values are counted."""

_PER_BYTE = 8
"""Voxels that a byte of a file stands for at least, where its values are worth counting."""

_AT_ONCE = 1 << 20
"""Voxels whose values are counted together."""


def is_label_name(name: str) -> bool:
    """Whether a file's name says that it is a mask or label map, as ``_seg``, ``_dlabel`` or ``-mask``."""
    stem = posixpath.basename(sidecar_of(name)).removesuffix(".json").lower()
    last = stem.rsplit("_", 1)[-1]
    words = {part.rstrip("0123456789") for part in (last.split("-")[0], re.split(r"[_.\-]", stem)[-1])}
    return any(word in _ENDINGS or word.endswith(("seg", "mask", "_msk")) for word in words)


def images_among(names: Iterable[str]) -> list[str]:
    """The files that are images by their names; the masks where there are no others."""
    all_names = sorted(names)
    return [name for name in all_names if not is_label_name(name)] or all_names


def check_name(name: str) -> None:
    """Refuse a mask or label map by its name.

    Raises
    ------
    ScanError
        not_image.
    """
    if is_label_name(name):
        raise ScanError("not_image", "the file's name says that it is a mask or a label map, and no image")


def may_be_labels(n_voxels: int, itemsize: int, n_bytes: int) -> bool:
    """Whether an image's values are worth counting: they are of one byte, or packed as no image can be.

    Parameters
    ----------
    n_voxels, itemsize
        Voxels, and bytes of each.
    n_bytes
        Size in bytes of the image's file or files, as stored.
    """
    return n_voxels <= _WORTH_COUNTING and (itemsize == 1 or n_bytes * _PER_BYTE < n_voxels)


def check_values(stored: npt.NDArray[np.generic]) -> None:
    """Refuse a label map by its values: two or more whole numbers from 0 to 255, and few different ones.

    Raises
    ------
    ScanError
        not_image.
    """
    flat = stored.reshape(-1)
    distinct: set[float] = set()
    for start in range(0, flat.size, _AT_ONCE):
        values = np.unique(flat[start : start + _AT_ONCE]).astype(np.float64)
        distinct.update(values.tolist())
        if (
            len(distinct) > _MOST_VALUES
            or not ((values >= 0) & (values <= _LARGEST) & (values % 1 == 0)).all()
        ):
            return
    if len(distinct) > 1:
        raise ScanError(
            "not_image",
            f"the image has {len(distinct)} different values: it is a mask or a label map, and no image",
        )
