"""Averages thin slices to slabs as thick as the slices that the networks were trained on."""

from __future__ import annotations

import math
from dataclasses import replace
from hashlib import sha256

import numpy as np

from spinenet.readers.dicom.facts import FLAGS
from spinenet.readers.dicom.stacks import MIN_SLICES
from spinenet.readers.space.orientation import ROUNDING_MM
from spinenet.types import Scan

THIN_MM = 2.0
"""Slice distance in mm below which slices are averaged; two-dimensional spine scans have 3 to 5 mm."""

SLAB_MM = 4.0
"""Thickness in mm that slabs of whole slices come nearest to; it is 3 to 5 mm, as slices are thin."""


def to_thick_slices(scan: Scan) -> Scan:
    """Average neighbouring slices of a thin-slice (3-D) volume.

    Parameters
    ----------
    scan
        Canonical axes: whatever order the slices lay in on disk, the same slabs are made.

    Returns
    -------
    Scan
        The same object where its slices are :data:`THIN_MM` apart or more, or too few to be joined; else a
        scan whose slices are means of n neighbours, n times the distance being nearest to
        :data:`SLAB_MM`, with spacing and affine to match and the flag "reformatted". Fewer than n slices
        that are left over are dropped, half at either side. A series of few slices gets thinner slabs,
        so that :data:`spinenet.readers.dicom.stacks.MIN_SLICES` are left.
    """
    slices = scan.shape[2]
    joined = slices_joined(slices, scan.slice_spacing)
    if joined == 1:
        return scan
    slabs = slices // joined
    first = (slices - slabs * joined) // 2
    stop = first + slabs * joined
    total = np.zeros((*scan.shape[:2], slabs), dtype=np.float32)
    for offset in range(joined):
        total += scan.volume[:, :, first + offset : stop : joined]
    mapping = np.eye(4)
    mapping[2, 2], mapping[2, 3] = joined, first + (joined - 1) / 2
    return replace(
        scan,
        volume=total / np.float32(joined),
        slice_spacing=scan.slice_spacing * joined,
        affine=scan.affine @ mapping,
        flags=tuple(flag for flag in FLAGS if flag in {*scan.flags, "reformatted"}),
        # detections in slabs of another thickness must not be reused for these
        fingerprint=sha256(f"{scan.fingerprint} {joined} slices joined".encode()).hexdigest(),
    )


def slices_joined(slices: int, slice_spacing: float) -> int:
    """Number of neighbouring slices that :func:`to_thick_slices` averages to one; 1 for none."""
    if slice_spacing > THIN_MM - ROUNDING_MM:
        return 1
    # the nearest number, the lower of two equally near ones, whatever the rounding of the spacing
    nearest = math.ceil(SLAB_MM / (slice_spacing + ROUNDING_MM) - 0.5)
    return max(1, min(nearest, slices // MIN_SLICES))
