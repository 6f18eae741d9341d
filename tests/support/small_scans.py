"""A small scan without any symmetry, and ways to store, spoil and compare it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from spinenet.synthetic.dicom import uid_from, write_series
from spinenet.types import Scan

SERIES = uid_from("test", "series")
SPACING = (0.7, 0.6)
SLICE_MM = 4.4


def make_scan(
    shape: tuple[int, int, int] = (20, 16, 5), sequence: str = "T2", tilt_degrees: float = 0.0, seed: int = 0
) -> Scan:
    """Canonical orientation, turned about the patient's long axis by ``tilt_degrees``."""
    volume = np.random.default_rng(seed).integers(0, 4000, shape).astype(np.float32)
    affine = np.array(
        [[0, 0, SLICE_MM, -30.0], [0, SPACING[1], 0, -100.0], [-SPACING[0], 0, 0, 200.0], [0, 0, 0, 1]]
    )
    angle = np.radians(tilt_degrees)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return Scan(volume, SPACING, SLICE_MM, turn @ affine, sequence)


def stored_as(scan: Scan, order: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> Scan:
    """The same image with its axes in another order and direction, every voxel where it was."""
    volume, affine = scan.volume.transpose(order), scan.affine.copy()
    affine[:, :3] = scan.affine[:, list(order)]
    for axis, flip in enumerate(flips):
        if flip:
            affine[:3, 3] += affine[:3, axis] * (volume.shape[axis] - 1)
            affine[:3, axis] *= -1
            volume = np.flip(volume, axis)
    spacing = np.linalg.norm(affine[:3, :2], axis=0)
    return Scan(volume, (float(spacing[0]), float(spacing[1])), scan.slice_spacing, affine, scan.sequence)


def save(
    folder: Path, scan: Scan, series_uid: str = SERIES, description: str = "t2 sag", **options: Any
) -> list[Path]:
    return write_series(
        folder,
        scan,
        patient_id="p1",
        study_uid=uid_from("test", "study"),
        series_uid=series_uid,
        description=description,
        **options,
    )


def edit(paths: list[Path], change: Callable[[pydicom.Dataset], object]) -> None:
    """Change each file and write it as it then is, valid or not."""
    for path in paths:
        dataset = pydicom.dcmread(path)
        change(dataset)
        dataset.save_as(path, enforce_file_format=False)


def damaged_bytes(whole: bytes, dice: random.Random, end: int) -> bytes:
    """The file with a few bytes changed, lost or put in, between its preamble and ``end``."""
    damaged = bytearray(whole)
    for _ in range(dice.choice([1, 2, 8])):
        at = dice.randrange(128, end)
        kind = dice.randrange(3)
        if kind == 0:
            damaged[at] = dice.randrange(256)
        elif kind == 1:
            del damaged[at : at + dice.randrange(1, 40)]
        else:
            damaged[at:at] = dice.randbytes(dice.randrange(1, 12))
    return bytes(damaged)


def assert_same(read: Scan, wanted: Scan) -> None:
    np.testing.assert_array_equal(read.volume, wanted.volume)
    np.testing.assert_allclose(read.affine, wanted.affine, atol=1e-6)
    assert read.pixel_spacing == pytest.approx(wanted.pixel_spacing)
    assert read.slice_spacing == pytest.approx(wanted.slice_spacing)
    assert read.sequence == wanted.sequence
    assert read.volume.dtype == np.float32
    assert read.volume.flags.c_contiguous
