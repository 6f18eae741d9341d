"""Builds a Scan from the volume of a NIfTI or MetaImage file, whatever its axes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt

from spinenet.errors import ScanError
from spinenet.readers.dicom.facts import FLAGS
from spinenet.readers.dicom.stacks import MIN_SLICES, UNIT_TOLERANCE
from spinenet.readers.sources.limits import check_grid, check_lengths, check_voxels
from spinenet.readers.space.orientation import (
    OBLIQUE_FLAG_DEGREES,
    Axes,
    Grid,
    canonical_grid,
    is_isotropic,
    is_sheared,
    reorient,
    sagittal_axes,
    slice_distance,
)
from spinenet.readers.volumes.sidecars import other_modality, parse_sidecars, sidecar_facts, sidecar_sequence
from spinenet.types import Scan

MAX_ANISOTROPY = 1.5
"""Largest ratio of the longest in-plane step to the left-right step: beyond it, slices were acquired in
another plane than the sagittal one, and only volumes with fine voxels in every direction are read."""


def check_held(shape: Sequence[int], itemsize: int, held: int | None) -> None:
    """Check a header's claim against the bytes that there are, before anything is allocated.

    Parameters
    ----------
    shape
        Voxels along each axis.
    itemsize
        Bytes of a voxel.
    held
        Bytes that the file holds for them; None where that is not known yet.

    Raises
    ------
    ScanError
        too_large or bad_pixels.
    """
    voxels = int(np.prod(np.array(shape, dtype=object)))
    check_voxels(voxels, "the image has")
    needed = voxels * itemsize
    if min(shape) < 1 or (held is not None and held < needed):
        held = max(held or 0, 0)
        raise ScanError("bad_pixels", f"the file holds {held} of the {needed} bytes of its voxels")


def whole_volume(
    stored: npt.NDArray[np.float32], affine: npt.NDArray[np.float64], name: str, digests: Sequence[str]
) -> Scan:
    """Turn a volume to the canonical orientation.

    Parameters
    ----------
    stored
        Values (3-D), along any axes.
    affine
        (4, 4): indices to patient mm (LPS).
    name
        Name of the file, from which only the contrast, such as T2w, is taken.
    digests
        SHA-256 of each file that the volume came from.

    Raises
    ------
    ScanError
        missing_tags, not_sagittal or too_few_slices.
    """
    axes = _checked_axes(affine, stored.shape)
    flags = {"oblique"} if axes.obliquity > OBLIQUE_FLAG_DEGREES else set()
    if is_sheared(affine, axes.order[2]):
        flags.add("sheared")
    if not np.isfinite(stored).all():
        flags.add("not_finite")
        stored = np.nan_to_num(stored, nan=0.0, posinf=0.0, neginf=0.0)
    volume, affine = reorient(stored, affine, axes)
    return Scan(
        volume=volume,
        pixel_spacing=(float(np.linalg.norm(affine[:3, 0])), float(np.linalg.norm(affine[:3, 1]))),
        slice_spacing=slice_distance(affine),
        affine=affine,
        sequence=sequence_named(name),
        flags=tuple(flag for flag in FLAGS if flag in flags),
        fingerprint=sha256("\n".join(sorted(digests)).encode()).hexdigest(),
    )


def grid_of(affine: npt.NDArray[np.float64], shape: Sequence[int]) -> Grid:
    """The canonical grid of a volume, its voxels unread; parameters and errors as :func:`whole_volume`."""
    return canonical_grid(affine, shape, _checked_axes(affine, shape))


def sequence_named(name: str) -> str:
    """The contrast that a file's name states, such as T2w in BIDS."""
    return sidecar_sequence({}, name)


def described(scan: Scan, name: str, sidecars: Iterable[bytes]) -> Scan:
    """Complete a scan with the sequence and facts of its sidecars, which override its name.

    Parameters
    ----------
    name
        The image's file name.
    sidecars
        As for :func:`spinenet.readers.volumes.sidecars.parse_sidecars`.

    Raises
    ------
    ScanError
        not_mr.
    """
    sequence, facts = sequence_and_facts(parse_sidecars(sidecars), name)
    return replace(scan, sequence=sequence, header={**facts, **scan.header})


def sequence_and_facts(sidecar: Mapping[str, Any], name: str) -> tuple[str, dict[str, str | float]]:
    """The sequence and the facts of an image, from its parsed sidecars; errors as :func:`described`."""
    if other_modality(sidecar):
        raise ScanError("not_mr", "the image's JSON file states another modality than MR")
    return sidecar_sequence(sidecar, name), sidecar_facts(sidecar, name)


def _checked_axes(affine: npt.NDArray[np.float64], shape: Sequence[int]) -> Axes:
    check_lengths(np.linalg.norm(affine[:3, :3], axis=0).tolist(), "the step of the image's affine")
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise ScanError("missing_tags", "the image's affine spans no volume")
    axes = sagittal_axes(affine)
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    rows, columns = (affine[:3, axis] / steps[axis] for axis in axes.order[:2])
    if abs(rows @ columns) > UNIT_TOLERANCE:
        raise ScanError("missing_tags", "the image's affine has no right angle between rows and columns")
    if steps.max() > MAX_ANISOTROPY * steps[axes.order[2]] and not is_isotropic(steps):
        raise ScanError(
            "not_sagittal", "the voxels are longest within the sagittal plane, so it is not the slices'"
        )
    slices = int(shape[axes.order[2]])
    if slices < MIN_SLICES:
        raise ScanError("too_few_slices", f"the image has {slices} slices; the least is {MIN_SLICES}")
    grid = canonical_grid(affine, shape, axes)
    check_grid(grid.shape, grid.pixel_spacing, grid.slice_spacing)
    return axes
