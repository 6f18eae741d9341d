"""Slices that lie askew are moved until they lie straight, and all stays where it is in the patient."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spinenet.readers.series import read_scan
from spinenet.readers.space.shear import straighten
from spinenet.types import Scan
from support.small_scans import assert_same, make_scan, save, stored_as


def sheared_scan(along_rows: float, along_columns: float, slices: int = 5, tilt: float = 0.0) -> Scan:
    """Sheared by so many pixels a slice."""
    scan = make_scan((40, 36, slices), tilt_degrees=tilt)
    affine = scan.affine.copy()
    affine[:3, 2] += along_rows * affine[:3, 0] + along_columns * affine[:3, 1]
    return replace(scan, affine=affine)


@settings(max_examples=25, deadline=None)
@given(
    rows=st.floats(-3, 3),
    columns=st.floats(-3, 3),
    slices=st.integers(3, 6),
    tilt=st.floats(-29, 29),
    axis=st.sampled_from([0, 1, 2]),
)
def test_what_a_voxel_shows_lies_where_it_did(
    rows: float, columns: float, slices: int, tilt: float, axis: int
) -> None:
    scan = sheared_scan(rows, columns, slices, tilt)

    def coordinate(affine: np.ndarray) -> np.ndarray:
        index = np.moveaxis(np.indices(scan.shape), 0, -1)
        return np.asarray(index @ affine[axis, :3] + affine[axis, 3])

    straight = straighten(replace(scan, volume=coordinate(scan.affine).astype(np.float32)))
    # edges that were not imaged are zero, and cubic kernels reach two pixels further
    edge = int(3 * slices + 3) // 2
    inside = np.s_[edge:-edge, edge:-edge]
    np.testing.assert_allclose(straight.volume[inside], coordinate(straight.affine)[inside], atol=0.05)
    if straight is not scan:
        directions = straight.affine[:3, :3] / np.linalg.norm(straight.affine[:3, :3], axis=0)
        np.testing.assert_allclose(directions.T @ directions, np.eye(3), atol=0.02)


@pytest.mark.parametrize("slices", [4, 5])
def test_whole_pixels_are_moved_exactly(slices: int) -> None:
    scan = make_scan((30, 30, slices))
    middle = slices // 2
    volume = np.stack([np.roll(scan.volume[:, :, k], -2 * (k - middle), axis=1) for k in range(slices)], 2)
    sheared = sheared_scan(0, 2, slices).affine
    sheared[:3, 3] += middle * (scan.affine[:3, 2] - sheared[:3, 2])
    straight = straighten(replace(scan, volume=volume, affine=sheared))
    np.testing.assert_allclose(straight.affine, scan.affine, atol=1e-9)
    np.testing.assert_array_equal(straight.volume[:, 8:-8], scan.volume[:, 8:-8])
    np.testing.assert_array_equal(straight.volume[:, :, middle], scan.volume[:, :, middle])


def test_straight_slices_are_not_touched() -> None:
    scan = make_scan(tilt_degrees=20)
    assert straighten(scan) is scan
    slight = replace(scan, affine=sheared_scan(0.1, 0).affine)
    assert straighten(slight) is slight


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2)])
@pytest.mark.parametrize("flips", [(False, True, False), (True, False, True)])
def test_storage_orders_of_a_sheared_series_are_one_scan(
    tmp_path: Path, order: tuple[int, int, int], flips: tuple[bool, bool, bool]
) -> None:
    scan = sheared_scan(0.7, -1.2)
    save(tmp_path, stored_as(scan, order, flips))
    read = read_scan(tmp_path)
    assert read.flags == ("sheared",)
    assert_same(replace(read, flags=()), straighten(scan))
