"""Thin slices become slabs of about 4 mm that lie where their slices lay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spinenet.errors import ScanError
from spinenet.readers.series import read_scan
from spinenet.readers.space.orientation import ISOTROPIC_MM
from spinenet.readers.space.reformat import SLAB_MM, THIN_MM, to_thick_slices
from spinenet.synthetic.dicom import uid_from
from spinenet.types import Scan
from support.small_scans import SERIES, assert_same, make_scan, save, stored_as

AXIAL, CORONAL = (1, 2, 0), (0, 2, 1)


def thin_scan(
    slices: int = 64, spacing: float = 1.0, tilt: float = 0.0, rows: int = 12, columns: int = 10
) -> Scan:
    """Grey values that are the patient's x in tenths of a mm, so that a slab's mean tells where it lies."""
    scan = make_scan((rows, columns, slices), tilt_degrees=tilt)
    affine = scan.affine.copy()
    affine[:3, 2] *= spacing / scan.slice_spacing
    index = np.moveaxis(np.indices(scan.shape), 0, -1)
    x = index @ affine[0, :3] + affine[0, 3]
    return replace(scan, volume=(10 * x + 2000).astype(np.float32), slice_spacing=spacing, affine=affine)


@settings(max_examples=40, deadline=None)
@given(slices=st.integers(3, 90), spacing=st.floats(0.3, 1.99), tilt=st.floats(-29, 29))
def test_slabs_lie_where_their_slices_lay(slices: int, spacing: float, tilt: float) -> None:
    scan = thin_scan(slices, spacing, tilt, 3, 4)
    slabs = to_thick_slices(scan)
    index = np.moveaxis(np.indices(slabs.shape), 0, -1)
    np.testing.assert_allclose(
        (slabs.volume - 2000) / 10, index @ slabs.affine[0, :3] + slabs.affine[0, 3], atol=1e-3
    )
    assert np.linalg.norm(slabs.affine[:3, 2]) == pytest.approx(slabs.slice_spacing)
    joined = round(slabs.slice_spacing / spacing)
    assert slabs.slice_spacing == pytest.approx(joined * spacing)
    assert slabs.shape[2] >= 3
    # what is left over is less than a slab, half at either side
    assert 0 <= slices - joined * slabs.shape[2] < joined
    assert abs(_middle(slabs) - _middle(scan)) <= spacing / 2 + 1e-6
    if slices >= 3 * SLAB_MM / spacing + 3:
        assert abs(slabs.slice_spacing - SLAB_MM) <= spacing / 2 + 0.01
        assert slabs.flags == ("reformatted",)


def _middle(scan: Scan) -> float:
    """How far the middle of the slices lies from the origin of space, along them, mm."""
    step = scan.affine[:3, 2]
    middle = scan.affine[:3, 3] + step * (scan.shape[2] - 1) / 2
    return float(middle @ step / np.linalg.norm(step))


def test_thick_slices_and_few_slices_stay_as_they_are() -> None:
    for scan in (make_scan(), thin_scan(spacing=THIN_MM), thin_scan(5)):
        assert to_thick_slices(scan) is scan


@pytest.mark.parametrize("spacing", [0.8, 1.0, 1.2, 1.6, 2.0])
def test_rounded_spacings_make_the_same_slabs(spacing: float) -> None:
    shapes = {
        to_thick_slices(thin_scan(spacing=spacing * (1 + error))).shape for error in (-1e-5, -1e-7, 0, 1e-7)
    }
    assert len(shapes) == 1


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2)])
@pytest.mark.parametrize("flips", [(False, False, False), (True, False, True)])
def test_thin_series_are_read_as_slabs(
    tmp_path: Path, order: tuple[int, int, int], flips: tuple[bool, bool, bool]
) -> None:
    scan = thin_scan(66)
    save(tmp_path, stored_as(scan, order, flips))
    read = read_scan(str(tmp_path))
    assert read.flags == ("reformatted",)
    assert read.shape == (12, 10, 16)
    assert read.slice_spacing == 4.0
    np.testing.assert_allclose(read.affine[:3, 3] - scan.affine[:3, 3], [1 + 1.5, 0, 0], atol=1e-6)
    wanted = scan.volume[:, :, 1:65].reshape(12, 10, 16, 4).mean(axis=3)
    assert_same(replace(read, flags=()), replace(to_thick_slices(scan), volume=wanted))


@pytest.mark.parametrize("order", [AXIAL, CORONAL, (2, 1, 0), (2, 0, 1)])
@pytest.mark.parametrize("flips", [(False, False, False), (True, False, True), (False, True, False)])
def test_fine_volumes_of_any_plane_are_read_as_sagittal_slabs(
    tmp_path: Path, order: tuple[int, int, int], flips: tuple[bool, bool, bool]
) -> None:
    scan = thin_scan(30, 1.3, tilt=8)
    scan.volume[:] = make_scan(scan.shape).volume
    save(tmp_path, stored_as(scan, order, flips))
    read = read_scan(str(tmp_path))
    assert read.flags == ("reformatted",)
    assert_same(replace(read, flags=()), to_thick_slices(scan))


@pytest.mark.parametrize("order", [AXIAL, CORONAL])
@pytest.mark.parametrize("spacing", [1.5, 1.6])
def test_coarse_volumes_of_other_planes_are_refused(
    tmp_path: Path, order: tuple[int, int, int], spacing: float
) -> None:
    save(tmp_path, stored_as(thin_scan(30, spacing), order, (False, False, False)))
    if spacing <= ISOTROPIC_MM:
        assert read_scan(str(tmp_path)).shape == (12, 10, 10)
        return
    with pytest.raises(ScanError, match="from the left-right axis") as caught:
        read_scan(str(tmp_path))
    assert caught.value.reason == "not_sagittal"


def test_askew_slices_of_another_plane_are_refused(tmp_path: Path) -> None:
    scan = stored_as(thin_scan(30, 1.0), AXIAL, (False, False, False))
    scan.affine[1, 2] += 0.05
    save(tmp_path, scan)
    with pytest.raises(ScanError, match="not straight behind one another") as caught:
        read_scan(str(tmp_path))
    assert caught.value.reason == "not_sagittal"


def test_planes_that_are_too_few_are_refused(tmp_path: Path) -> None:
    save(tmp_path, stored_as(thin_scan(2, 1.0), AXIAL, (False, False, False)))
    with pytest.raises(ScanError, match="2 slices") as caught:
        read_scan(str(tmp_path))
    assert caught.value.reason == "too_few_slices"


def test_sagittal_slices_come_before_a_volume_to_be_cut(tmp_path: Path) -> None:
    sagittal, volume = make_scan(seed=1), thin_scan()
    save(tmp_path / "a", sagittal)
    save(tmp_path / "b", stored_as(volume, AXIAL, (False, False, False)), series_uid=uid_from("volume"))
    read = read_scan(str(tmp_path))
    assert read.flags == ("series_ignored",)
    assert_same(read, sagittal)
    assert_same(read_scan(str(tmp_path), series_uid=uid_from("volume")), to_thick_slices(volume))
    assert_same(read_scan(str(tmp_path), series_uid=SERIES), sagittal)
