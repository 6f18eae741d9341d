"""The same image as NIfTI is the same scan, whatever its axes."""

from __future__ import annotations

import gzip
import itertools
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spinenet.errors import ScanError
from spinenet.readers.series import read_scan
from spinenet.readers.volumes.nifti import read_nifti
from spinenet.types import Scan
from support.small_scans import make_scan, save, stored_as

nibabel = pytest.importorskip("nibabel")

REAL = Path(os.environ.get("SPINENET_REAL_SCANS", Path(__file__).parents[3] / "shared" / "real"))
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def image_of(scan: Scan, kind: Any = nibabel.Nifti1Image, dtype: Any = np.int16) -> Any:
    return kind(scan.volume.astype(dtype), TO_RAS @ scan.affine)


def reason_of(data: bytes, name: str = "a.nii") -> str:
    with pytest.raises(ScanError) as caught:
        read_nifti(name, data)
    return caught.value.reason


@settings(max_examples=30, deadline=None)
@given(
    order=st.sampled_from(list(itertools.permutations(range(3)))),
    flips=st.tuples(*[st.booleans()] * 3),
    tilt=st.floats(-29, 29),
    packed=st.booleans(),
    kind=st.sampled_from([nibabel.Nifti1Image, nibabel.Nifti2Image]),
)
def test_any_axes_give_the_same_scan(
    order: tuple[int, int, int], flips: tuple[bool, bool, bool], tilt: float, packed: bool, kind: Any
) -> None:
    scan = make_scan(tilt_degrees=tilt)
    data = image_of(stored_as(scan, order, flips), kind).to_bytes()
    read = read_nifti("x_T2w.nii.gz", gzip.compress(data) if packed else data)
    np.testing.assert_array_equal(read.volume, scan.volume)
    np.testing.assert_allclose(read.affine, scan.affine, atol=1e-4)
    assert read.pixel_spacing == pytest.approx(scan.pixel_spacing, abs=1e-5)
    assert read.slice_spacing == pytest.approx(scan.slice_spacing, abs=1e-5)
    assert read.sequence == "T2"


def test_nifti_and_dicom_of_one_scan_agree(tmp_path: Path) -> None:
    scan = make_scan(tilt_degrees=12)
    save(tmp_path / "dicom", scan)
    nibabel.save(image_of(scan), tmp_path / "sub-1_T2w.nii.gz")
    dicom, nifti = read_scan(tmp_path / "dicom"), read_scan(tmp_path / "sub-1_T2w.nii.gz")
    np.testing.assert_array_equal(dicom.volume, nifti.volume)
    np.testing.assert_allclose(dicom.affine, nifti.affine, atol=1e-4)
    assert dicom.sequence == nifti.sequence == "T2"
    (tmp_path / "bids").mkdir()
    (tmp_path / "sub-1_T2w.nii.gz").rename(tmp_path / "bids" / "sub-1_T2w.nii.gz")
    (tmp_path / "bids" / "sub-1_T2w.json").write_text("{}")
    assert read_scan(tmp_path / "bids").fingerprint == nifti.fingerprint


def test_reasons() -> None:
    scan = make_scan()
    data = image_of(scan).to_bytes()
    assert reason_of(b"not a header") == "unreadable"
    assert reason_of(gzip.compress(data)[:-20]) == "unreadable"
    assert reason_of(data[:-10]) == "bad_pixels"
    assert reason_of(image_of(make_scan((8, 8, 2))).to_bytes()) == "too_few_slices"
    assert reason_of(image_of(make_scan(tilt_degrees=40)).to_bytes()) == "not_sagittal"
    thick = make_scan()
    thick.affine[:3, 0] *= 20
    assert reason_of(image_of(thick).to_bytes()) == "not_sagittal"
    four = nibabel.Nifti1Image(np.zeros((8, 8, 8, 2), np.int16), np.eye(4))
    assert reason_of(four.to_bytes()) == "unsupported_image"
    whole = nibabel.Nifti1Image(np.zeros((8, 8, 8), np.complex64), np.eye(4))
    assert reason_of(whole.to_bytes()) == "unsupported_image"
    lost = image_of(scan)
    lost.header.set_sform(None, 0)
    lost.header.set_qform(None, 0)
    header = lost.header.copy()
    header["sform_code"] = header["qform_code"] = 0
    assert reason_of(header.binaryblock + data[348:]) == "missing_tags"
    header = image_of(scan).header.copy()
    header["dim"][1:4] = 30000
    assert reason_of(header.binaryblock + data[348:]) == "too_large"


def test_voxels_that_are_no_numbers_become_zero() -> None:
    scan = make_scan()
    scan.volume[3, 4, 2] = np.nan
    read = read_nifti("a.nii", image_of(scan, dtype=np.float32).to_bytes())
    assert read.volume[3, 4, 2] == 0
    assert read.flags == ("not_finite",)


def test_scaled_voxels() -> None:
    scan = make_scan()
    plain = image_of(scan).to_bytes()
    # scl_slope and scl_inter lie at byte 112 of the header
    data = plain[:112] + struct.pack("<2f", 0.5, 3) + plain[120:]
    stored = read_nifti("a.nii", plain).volume
    assert read_nifti("a.nii", data).volume.max() == pytest.approx(stored.max() * 0.5 + 3)


@pytest.mark.skipif(not REAL.is_dir(), reason="the folder of real scans (SPINENET_REAL_SCANS) is not here")
def test_real_scans_lie_as_they_should() -> None:
    paths = sorted(path for path in REAL.glob("*.nii.gz") if not path.name.endswith("_msk.nii.gz"))
    assert paths
    for path in paths:
        read = read_nifti(path.name, path.read_bytes())
        image = nibabel.load(path)
        directions = read.affine[:3, :3] / np.linalg.norm(read.affine[:3, :3], axis=0)
        assert directions[2, 0] < -0.8
        assert directions[1, 1] > 0.8
        assert directions[0, 2] > 0.8
        # a voxel keeps its place in the patient
        row, column, at = (length // 3 for length in read.shape)
        place = np.linalg.inv(TO_RAS @ image.affine) @ read.affine @ [row, column, at, 1]
        index = tuple(np.rint(place[:3]).astype(int))
        assert np.allclose(place[:3], index, atol=1e-3)
        assert read.volume[row, column, at] == pytest.approx(float(image.dataobj[index]))


def test_fine_volumes_are_read_in_any_plane_and_coarse_ones_are_not(tmp_path: Path) -> None:
    scan = make_scan((12, 10, 40))
    scan.affine[:3, 2] *= 0.75 / scan.slice_spacing
    scan.affine[:3, 0] *= 2  # 1.4 mm: longer than 1.5 times the slices' distance
    nibabel.save(image_of(scan), tmp_path / "a.nii")
    read = read_scan(tmp_path / "a.nii")
    assert read.flags == ("reformatted",)
    assert read.shape == (12, 10, 8)
    assert read.slice_spacing == pytest.approx(3.75)
    scan.affine[:3, 0] *= 1.2
    assert reason_of(image_of(scan).to_bytes()) == "not_sagittal"


@pytest.mark.parametrize(
    ("axis", "along", "flags"), [(2, 1, ("sheared",)), (2, 0, ("sheared",)), (0, 1, None)]
)
def test_askew_affines(axis: int, along: Any, flags: Any) -> None:
    scan = make_scan()
    scan.affine[:3, axis] += 0.1 * scan.affine[:3, along] / np.linalg.norm(scan.affine[:3, along])
    if flags is None:
        assert reason_of(image_of(scan).to_bytes()) == "missing_tags"
        return
    read = read_nifti("a.nii", image_of(scan).to_bytes())
    assert read.flags == flags
    assert read.slice_spacing == pytest.approx(scan.slice_spacing)
