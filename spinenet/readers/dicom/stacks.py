"""Builds a stack from the frames of one series: checked, ordered along the normal, with one affine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from spinenet.errors import ScanError
from spinenet.readers.dicom.frames import Frame
from spinenet.readers.sources.limits import check_grid, check_lengths, check_voxels
from spinenet.readers.space.orientation import (
    OBLIQUE_FLAG_DEGREES,
    Axes,
    Grid,
    canonical_grid,
    is_isotropic,
    is_sheared,
    sagittal_axes,
    slice_distance,
)

MIN_SLICES = 3
"""Fewest slices of a volume."""

SAME_POSITION_MM = 0.01
"""Distance in mm below which slices share a position."""

GAP_TOLERANCE = 0.1
"""Largest relative difference of a gap between slices from the median gap."""

SPACING_TOLERANCE = 1e-3
"""Relative difference of pixel spacings, and absolute one of direction cosines, within a series."""

UNIT_TOLERANCE = 0.02
"""Largest deviation of direction cosines from unit length and right angles."""

OTHER_PLANE_DEGREES = 45.0
"""Angle between two slices of a series from which they are of different planes, such as a localizer's."""

SAME_PLANE_DEGREES = 5.0
"""The same where the header says that the series is a localizer."""

FARTHEST_MM = 1e5
"""Largest coordinate of a slice's corner: 100 m."""

DRIFT_MM = 1.0
"""Largest distance in mm of a slice's corner from the line through those of the first and the last slice."""


@dataclass(frozen=True)
class Stack:
    """A usable series, before its pixels are read.

    Attributes
    ----------
    frames
        Frames in order of their position along the normal.
    affine
        (4, 4): stored (row, column, place in ``frames``, 1) to patient mm (LPS).
    slice_spacing
        Distance between neighbouring sagittal planes, mm.
    axes
        How the stored axes become the canonical ones; the stored slices are the sagittal ones unless
        the voxels are fine in every direction.
    flags
        Codes of :data:`spinenet.readers.dicom.facts.FLAGS`.
    """

    frames: tuple[Frame, ...]
    affine: npt.NDArray[np.float64]
    slice_spacing: float
    axes: Axes
    flags: tuple[str, ...]

    @property
    def grid(self) -> Grid:
        """Grid of the scan that is read from the stack."""
        pixels = self.frames[0].pixels
        shape = (pixels.rows or 0, pixels.columns or 0, len(self.frames))
        return canonical_grid(self.affine, shape, self.axes)


def stack_frames(frames: Sequence[Frame], *, thickness_given: bool = False) -> Stack:
    """Check that the frames make one MR volume with sagittal planes and put them in order.

    Parameters
    ----------
    frames
        Frames of one series, in any order.
    thickness_given
        Whether the user overrides SliceThickness: slices that all lack a position are then placed in order
        of InstanceNumber at that distance.

    Raises
    ------
    ScanError
        not_image, not_mr, no_pixels, bad_pixels, unsupported_image, colour, mosaic, missing_tags,
        localizer, mixed_geometry, not_sagittal, too_few_slices, too_large, duplicate_positions or
        missing_slices, about in this order.
    """
    for frame in frames:
        _check_image(frame)
    assumed = thickness_given and all(frame.position is None for frame in frames)
    for frame in frames:
        _check_tags(frame, assumed)
    _check_one_plane(frames)
    _check_uniform(frames)
    first = frames[0]
    cosines = np.array(first.orientation, dtype=np.float64).reshape(2, 3)
    along_columns, along_rows = cosines / np.linalg.norm(cosines, axis=1, keepdims=True)
    normal = np.cross(along_columns, along_rows)
    row_mm, column_mm = first.spacing or (0.0, 0.0)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([along_rows * row_mm, along_columns * column_mm, normal], axis=1)
    positions = (
        _assumed_positions(frames, normal) if assumed else np.array([frame.position for frame in frames])
    )
    isotropic = not assumed and is_isotropic((row_mm, column_mm, _largest_gap(positions, normal)))
    axes = sagittal_axes(affine, slice_axis=None if isotropic else 2)
    across = axes.order[2]
    _check_size(frames, across)
    order, step = _order(positions, normal)
    affine[:3, 2], affine[:3, 3] = step, positions[order[0]]
    sheared = is_sheared(affine)
    if sheared and across != 2:
        raise ScanError("not_sagittal", "the slices are not sagittal and not straight behind one another")
    flags = [
        flag
        for flag, raised in (
            ("side_assumed", assumed),
            ("oblique", axes.obliquity > OBLIQUE_FLAG_DEGREES),
            ("sheared", sheared),
        )
        if raised
    ]
    ordered = tuple(frames[index] for index in order)
    # again with the actual step between slices, whose sign may differ from the normal's
    axes = sagittal_axes(affine, slice_axis=across)
    stack = Stack(ordered, affine, slice_distance(affine, across), axes, tuple(flags))
    check_grid(stack.grid.shape, stack.grid.pixel_spacing, stack.grid.slice_spacing)
    return stack


def _check_image(frame: Frame) -> None:
    pixels = frame.pixels
    if not frame.image:
        raise ScanError("not_image", "the series holds reports, masks or other objects, and no images")
    if frame.modality != "MR":
        raise ScanError("not_mr", f"the series' modality is {_term(frame.modality)}, not MR")
    if pixels.rows is None or pixels.columns is None or pixels.start is None:
        raise ScanError("no_pixels", "files of the series carry no pixel data")
    if pixels.rows < 1 or pixels.columns < 1:
        raise ScanError("bad_pixels", f"the image has {pixels.rows} rows and {pixels.columns} columns")
    if pixels.frames != frame.described:
        if frame.described == 1:
            detail = f"a file holds {pixels.frames} frames and does not say where each lies"
            raise ScanError("unsupported_image", detail)
        detail = f"a file claims {pixels.frames} frames and describes {frame.described}"
        raise ScanError("bad_pixels", detail)
    if pixels.in_colour:
        raise ScanError("colour", "the image is in colour")
    if pixels.photometric not in ("MONOCHROME1", "MONOCHROME2", ""):
        raise ScanError(
            "unsupported_image", "the image is neither a grey one nor one in a known colour space"
        )
    if "mosaic" in frame.marks:
        raise ScanError(
            "mosaic", "an image holds all slices side by side; export the series as single slices"
        )


def _term(modality: str) -> str:
    return modality if modality.isalpha() and len(modality) == 2 else "absent or unknown"


def _check_tags(frame: Frame, assumed: bool) -> None:
    needed = {
        "ImagePositionPatient": frame.position or assumed,
        "ImageOrientationPatient": frame.orientation,
        "PixelSpacing": frame.spacing,
    }
    missing = [tag for tag, value in needed.items() if not value]
    if missing:
        raise ScanError("missing_tags", f"missing or not numbers: {', '.join(missing)}")
    if min(frame.spacing or (0.0,)) <= 0:
        raise ScanError("missing_tags", "PixelSpacing is not positive")
    check_lengths(frame.spacing or ())
    if max(map(abs, frame.position or (0.0,))) > FARTHEST_MM:
        raise ScanError("missing_tags", "ImagePositionPatient lies outside every scanner")
    if assumed and not (frame.thickness and frame.thickness > 0 and frame.number is not None):
        raise ScanError(
            "missing_tags", "without ImagePositionPatient, InstanceNumber and a thickness are needed"
        )
    if not _at_right_angles(frame.orientation or ()):
        raise ScanError("missing_tags", "ImageOrientationPatient is not two unit vectors at a right angle")


@lru_cache(maxsize=256)
def _at_right_angles(orientation: tuple[float, ...]) -> bool:
    cosines = np.array(orientation).reshape(2, 3)
    return np.allclose(cosines @ cosines.T, np.eye(2), atol=UNIT_TOLERANCE)


def _check_one_plane(frames: Sequence[Frame]) -> None:
    """Refuse localizers: slices that are marked so, or lie nearly at right angles, make no volume."""
    cosines = np.array([frame.orientation for frame in frames]).reshape(-1, 2, 3)
    normals = np.cross(cosines[:, 0], cosines[:, 1])
    angles = np.degrees(np.arccos(np.clip(np.abs(normals @ normals[0]), 0, 1)))
    marked = any("localizer" in frame.marks for frame in frames)
    if angles.max() > (SAME_PLANE_DEGREES if marked else OTHER_PLANE_DEGREES):
        detail = f"slices of the series lie up to {angles.max():.0f} degrees apart, as a localizer's do"
        raise ScanError("localizer", detail)


def _check_uniform(frames: Sequence[Frame]) -> None:
    shapes = {(frame.pixels.rows, frame.pixels.columns) for frame in frames}
    spacings = np.array(sorted({frame.spacing or () for frame in frames}))
    orientations = np.array(sorted({frame.orientation or () for frame in frames}))
    same = (
        len(shapes) == 1
        and np.allclose(spacings, frames[0].spacing or (), rtol=SPACING_TOLERANCE)
        and np.allclose(orientations, frames[0].orientation or (), atol=SPACING_TOLERANCE)
    )
    if not same:
        raise ScanError("mixed_geometry", "slices of the series differ in size, spacing or orientation")


def _check_size(frames: Sequence[Frame], across: int) -> None:
    pixels = frames[0].pixels
    shape = (pixels.rows or 0, pixels.columns or 0, len(frames))
    if shape[across] < MIN_SLICES:
        raise ScanError("too_few_slices", f"the series has {shape[across]} slices; the least is {MIN_SLICES}")
    check_voxels(math.prod(shape))


def _assumed_positions(frames: Sequence[Frame], normal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.array([normal * (frame.number or 0.0) * (frame.thickness or 0.0) for frame in frames])


def _largest_gap(positions: npt.NDArray[np.float64], normal: npt.NDArray[np.float64]) -> float:
    """Longest way from a slice to the next, mm; 0 for a single one."""
    return float(np.diff(np.sort(positions @ normal)).max(initial=0.0))


def _order(
    positions: npt.NDArray[np.float64], normal: npt.NDArray[np.float64]
) -> tuple[list[int], npt.NDArray[np.float64]]:
    """(order, step from slice to slice in mm) from (n, 3) corners."""
    along = positions @ normal
    order = [int(index) for index in np.argsort(along, kind="stable")]
    gaps = np.diff(along[order])
    same = int((gaps < SAME_POSITION_MM).sum())
    if same:
        raise ScanError(
            "duplicate_positions",
            f"{same + 1} or more slices share positions and differ in their pixels, and no tag that is known "
            "tells them apart; put the files of each volume into a folder of its own",
        )
    median = float(np.median(gaps))
    if np.abs(gaps - median).max() > GAP_TOLERANCE * median:
        raise ScanError(
            "missing_slices", f"gaps between slices run from {gaps.min():.2f} to {gaps.max():.2f} mm"
        )
    ordered = positions[order]
    step = (ordered[-1] - ordered[0]) / (len(ordered) - 1)
    straight = ordered[0] + np.arange(len(ordered))[:, None] * step
    off = (ordered - straight) - ((ordered - straight) @ normal)[:, None] * normal
    if np.linalg.norm(off, axis=1).max() > DRIFT_MM:
        raise ScanError("mixed_geometry", "slices of the series do not lie on one straight line")
    return order, step
