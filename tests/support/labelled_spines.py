"""Drawn spines with label maps of their true bodies, in the forms in which labelled scans are shared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from spinenet.geometry import Points
from spinenet.synthetic.image import render_slice, sample_subject, slice_rng, true_vertebrae
from spinenet.training.labels.labelled import LabelledScan

CANAL = 100
VALUES: Mapping[str, int] = {
    level: value for value, level in enumerate(["L5", "L4", "L3", "L2", "L1", "T12", "T11"], start=1)
}
"""Values of SPIDER's masks."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """A drawn scan in canonical axes, its label map, and the true quads by level and slice."""

    volume: npt.NDArray[np.float32]
    labels: npt.NDArray[np.uint8]
    affine: npt.NDArray[np.float64]
    spacing: tuple[float, float]
    quads: Mapping[tuple[str, int], Points]


def drawn(seed: int = 5, spacing: tuple[float, float] = (0.8, 0.8), slices: int = 9) -> Drawn:
    """A lumbar spine whose lowest labelled vertebra is L5, arches and canal labelled as well."""
    subject = sample_subject(np.random.default_rng([seed, 3]))
    old = subject.acquisition
    mid = old.origin[2] + (old.slices - 1) / 2 * old.slice_spacing
    acquisition = replace(
        old,
        rows=round(old.rows * old.pixel_spacing[0] / spacing[0]),
        columns=round(old.columns * old.pixel_spacing[1] / spacing[1]),
        pixel_spacing=spacing,
        slices=slices,
        slice_spacing=5.0,
        origin=(old.origin[0], old.origin[1], mid - (slices - 1) / 2 * 5.0),
    )
    subject = replace(subject, acquisition=acquisition)
    volume = np.stack([render_slice(subject, k, slice_rng(seed, k)) for k in range(slices)], axis=2)
    labels = np.zeros(volume.shape, np.uint8)
    quads = {
        (vertebra.level, k): quad
        for vertebra in true_vertebrae(subject)
        if vertebra.level in VALUES
        for k, quad in zip(vertebra.slices, vertebra.quads, strict=True)
    }
    # bodies first: nothing is drawn over what is there
    for (level, k), quad in quads.items():
        _fill(labels, k, quad, VALUES[level])
    for (level, k), quad in quads.items():
        _draw_rest(labels, k, quad, VALUES[level], spacing, near_middle=abs(k - slices // 2) <= 2)
    affine = np.diag([0.0, 0.0, 0.0, 1.0])
    affine[0, 2], affine[1, 1], affine[2, 0] = 5.0, spacing[1], -spacing[0]
    affine[:3, 3] = 12.0, -80.0, 150.0
    return Drawn(volume, labels, affine, spacing, quads)


def _draw_rest(
    labels: npt.NDArray[np.uint8],
    k: int,
    quad: Points,
    value: int,
    spacing: tuple[float, float],
    near_middle: bool,
) -> None:
    """Draw the canal behind a body and then the arch; beside the canal a pedicle between the two."""
    rt, rb = quad[0], quad[1]
    down, back = rb - rt, np.array([1 / spacing[1], 0.0])
    if near_middle:
        # the canal of a body meets that of the next one half way
        upper, lower = rt - 0.35 * down, rb + 0.35 * down
        _fill(labels, k, np.array([upper + back, lower + back, lower + 14 * back, upper + 14 * back]), CANAL)
        _fill(labels, k, np.array([rt + 16 * back, rb + 16 * back, rb + 34 * back, rt + 34 * back]), value)
    else:
        upper, lower = rt + 0.2 * down, rt + 0.6 * down
        _fill(labels, k, np.array([upper, lower, lower + 30 * back, upper + 30 * back]), value)


def _fill(labels: npt.NDArray[np.uint8], k: int, points: Points, value: int) -> None:
    """Fill the empty pixels whose centres lie in a polygon."""
    fine = 8
    big = np.zeros((labels.shape[0] * fine, labels.shape[1] * fine), np.uint8)
    cv2.fillPoly(big, [np.round((points + 0.5) * fine - 0.5).astype(np.int32)], 1)
    picture = labels[:, :, k]
    picture[(big[fine // 2 :: fine, fine // 2 :: fine] > 0) & (picture == 0)] = value


def stored(
    array: npt.NDArray[Any],
    affine: npt.NDArray[np.float64],
    order: tuple[int, int, int],
    flips: tuple[int, ...],
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """An array along other axes, some of them backwards, and its affine."""
    moved, turned = array.transpose(order), affine.copy()
    turned[:, :3] = affine[:, list(order)]
    for axis in flips:
        turned[:, 3] += turned[:, axis] * (moved.shape[axis] - 1)
        turned[:, axis] *= -1
        moved = np.flip(moved, axis)
    return np.ascontiguousarray(moved), turned


def write_metaimage(path: Path, array: npt.NDArray[Any], affine: npt.NDArray[np.float64]) -> None:
    """Write an array of axes i, j, k with an affine to LPS."""
    import SimpleITK

    image: Any = SimpleITK.GetImageFromArray(array.transpose(2, 1, 0))
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(steps.tolist())
    image.SetDirection((affine[:3, :3] / steps).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    path.parent.mkdir(parents=True, exist_ok=True)
    SimpleITK.WriteImage(image, str(path), True)


def write_nifti(path: Path, array: npt.NDArray[Any], affine: npt.NDArray[np.float64]) -> None:
    """Write an array of axes i, j, k with an affine to LPS."""
    import nibabel

    nibabel.save(nibabel.Nifti1Image(array, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine), path)


def errors_mm(scan: LabelledScan, truth: Drawn) -> npt.NDArray[np.float64]:
    """(n, 4) distances in mm of all corners from the truth."""
    scale = np.array(truth.spacing[::-1]) / scan.spacing_mm
    distances = []
    for vertebra in scan.vertebrae:
        for k, quad in zip(vertebra.slices, vertebra.quads, strict=True):
            true = (truth.quads[vertebra.level, k] + 0.5) * scale - 0.5
            distances.append(np.linalg.norm(quad - true, axis=1) * scan.spacing_mm)
    return np.array(distances)
