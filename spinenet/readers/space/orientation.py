"""One orientation for all: rows cranial to caudal, columns anterior to posterior, slices right to left.

Affines take (row, column, slice, 1) indices to patient mm in LPS (x left, y posterior, z up: DICOM
PS3.3 C.7.6.2.1.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spinenet.errors import ScanError

MAX_OBLIQUITY_DEGREES = 30.0
"""Largest angle between the slices' normal and the patient's left-right axis."""

OBLIQUE_FLAG_DEGREES = 10.0
"""Angle from which a scan is flagged as oblique."""

ROUNDING_MM = 1e-3
"""Difference in mm below which two lengths are equal but for the rounding of file formats."""

ISOTROPIC_MM = 1.5
"""Longest edge in mm of a voxel that is fine in every direction: sagittal slices can be resliced from such a
volume, whatever plane it was acquired in."""

SHEAR_FLAG_DEGREES = 1.0
"""Angle between the stack's direction and the slices' normal from which it is flagged."""

_WANTED = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
"""Directions in which rows, columns and slices are to run."""


@dataclass(frozen=True)
class Axes:
    """How stored axes become the canonical ones.

    Attributes
    ----------
    order
        Stored axis that becomes rows, columns, slices.
    flipped
        Whether each of those, in the new order, runs backwards.
    obliquity
        Angle between the slices' normal and the left-right axis, degrees.
    """

    order: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]
    obliquity: float


@dataclass(frozen=True)
class Grid:
    """A scan's grid; attributes as those of :class:`spinenet.types.Scan`."""

    shape: tuple[int, int, int]
    pixel_spacing: tuple[float, float]
    slice_spacing: float


def canonical_grid(affine: npt.NDArray[np.float64], shape: Sequence[int], axes: Axes) -> Grid:
    """The grid that a volume has once :func:`reorient` has brought it to the canonical axes.

    Parameters
    ----------
    affine, shape
        (4, 4) of the stored indices, and how many there are along each axis.
    axes
        From :func:`sagittal_axes`.
    """
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    rows, columns, slices = (int(shape[axis]) for axis in axes.order)
    row_mm, column_mm = (float(steps[axis]) for axis in axes.order[:2])
    return Grid((rows, columns, slices), (row_mm, column_mm), slice_distance(affine, axes.order[2]))


def sagittal_axes(affine: npt.NDArray[np.float64], slice_axis: int | None = None) -> Axes:
    """Find the canonical axes of a sagittal volume.

    Parameters
    ----------
    affine
        (4, 4) of the volume as stored.
    slice_axis
        Stored axis that runs across slices; None takes the one closest to left-right.

    Raises
    ------
    ScanError
        not_sagittal if the normal is more than :data:`MAX_OBLIQUITY_DEGREES` from left-right.
    """
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    if slice_axis is None:
        slice_axis = int(np.abs(directions[0]).argmax())
    in_plane = [axis for axis in range(3) if axis != slice_axis]
    normal = np.cross(directions[:, in_plane[0]], directions[:, in_plane[1]])
    obliquity = float(np.degrees(np.arccos(min(1.0, abs(normal[0]) / np.linalg.norm(normal)))))
    if obliquity > MAX_OBLIQUITY_DEGREES:
        raise ScanError(
            "not_sagittal",
            f"the slices' normal is {obliquity:.0f} degrees from the left-right axis; "
            f"the most is {MAX_OBLIQUITY_DEGREES:.0f}",
        )
    rows, columns = sorted(in_plane, key=lambda axis: -abs(float(directions[2, axis])))
    order = (rows, columns, slice_axis)
    rows_flip, columns_flip, slices_flip = (
        bool(directions[:, axis] @ wanted < 0) for axis, wanted in zip(order, _WANTED, strict=True)
    )
    return Axes(order, (rows_flip, columns_flip, slices_flip), obliquity)


def plane_of(orientation: Sequence[float]) -> str:
    """The plane that an image lies nearest to.

    Parameters
    ----------
    orientation
        The six direction cosines of ImageOrientationPatient (0020,0037).

    Returns
    -------
    str
        "sagittal", "coronal", "axial"; "oblique" where its normal is more than
        :data:`MAX_OBLIQUITY_DEGREES` from each of the three axes.
    """
    along_columns, along_rows = np.array(orientation, np.float64).reshape(2, 3)
    normal = np.abs(np.cross(along_columns, along_rows))
    nearest = int(normal.argmax())
    length = float(np.linalg.norm(normal))
    if not length or normal[nearest] < length * np.cos(np.radians(MAX_OBLIQUITY_DEGREES)):
        return "oblique"
    return ("sagittal", "coronal", "axial")[nearest]


def is_isotropic(steps_mm: Iterable[float]) -> bool:
    """Whether voxels with edges of these lengths are fine in every direction."""
    lengths = tuple(steps_mm)
    return min(lengths) > ROUNDING_MM and max(lengths) <= ISOTROPIC_MM + ROUNDING_MM


def is_sheared(affine: npt.NDArray[np.float64], slice_axis: int = 2) -> bool:
    """Whether slices lie askew behind one another.

    Parameters
    ----------
    affine
        (4, 4) to patient mm.
    slice_axis
        Axis that runs across slices.
    """
    step = affine[:3, slice_axis]
    distance = slice_distance(affine, slice_axis)
    return bool(distance < np.cos(np.radians(SHEAR_FLAG_DEGREES)) * np.linalg.norm(step))


def slice_distance(affine: npt.NDArray[np.float64], slice_axis: int = 2) -> float:
    """Distance between neighbouring slices' planes, mm; parameters as for :func:`is_sheared`."""
    first, second = (affine[:3, axis] for axis in range(3) if axis != slice_axis)
    normal = np.cross(first, second)
    return abs(float(affine[:3, slice_axis] @ normal / np.linalg.norm(normal)))


def reorient(
    volume: npt.NDArray[np.float32], affine: npt.NDArray[np.float64], axes: Axes
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Bring a volume to the canonical axes; every voxel keeps its place in the patient.

    Parameters
    ----------
    volume
        (3-D) as stored.
    affine
        (4, 4) of the stored indices.
    axes
        From :func:`sagittal_axes`.

    Returns
    -------
    volume, affine
        (H, W, S), contiguous, and the affine of its indices.
    """
    moved = volume.transpose(axes.order)
    steps = affine[:3, list(axes.order)].copy()
    origin = affine[:3, 3].copy()
    for axis, flipped in enumerate(axes.flipped):
        if flipped:
            moved = np.flip(moved, axis)
            origin += steps[:, axis] * (moved.shape[axis] - 1)
            steps[:, axis] *= -1
    turned = np.eye(4)
    turned[:3, :3], turned[:3, 3] = steps, origin
    return np.ascontiguousarray(moved), turned
