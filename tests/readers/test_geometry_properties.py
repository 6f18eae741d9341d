"""A voxel lies in the patient where its tags put it, however the series is posed, stored and numbered."""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spinenet.geometry import to_patient
from spinenet.readers.series import read_scan
from spinenet.readers.volumes.nifti import read_nifti
from spinenet.types import Scan
from support.small_scans import assert_same, edit, make_scan, save, stored_as

nibabel = pytest.importorskip("nibabel")

TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@st.composite
def posed_scans(draw: st.DrawFn) -> Scan:
    """Turned by up to 29 degrees about any axis, with pixels of any ratio and slices of any thickness."""
    scan = make_scan(draw(st.tuples(*[st.integers(3, 12)] * 3)), seed=draw(st.integers(0, 99)))
    spacing = draw(st.tuples(*[st.floats(0.3, 1.8)] * 2))
    distance = draw(st.floats(2.0, 9.0))
    axis = np.array(draw(st.tuples(*[st.integers(-9, 9)] * 3)), dtype=float)
    angle = np.radians(draw(st.floats(0, 29)))
    x, y, z = axis / (np.linalg.norm(axis) or 1.0)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.array([[0, 0, distance], [0, spacing[1], 0], [-spacing[0], 0, 0]])
    affine[:3, 3] = draw(st.tuples(*[st.floats(-300, 300)] * 3))
    return replace(scan, pixel_spacing=spacing, slice_spacing=distance, affine=affine)


@settings(max_examples=20, deadline=None)
@given(
    scan=posed_scans(),
    plane=st.sampled_from([(0, 1, 2), (1, 0, 2)]),
    order=st.sampled_from(list(itertools.permutations(range(3)))),
    flips=st.tuples(*[st.booleans()] * 3),
)
def test_dicom_and_nifti_of_any_pose_are_the_same_scan(
    scan: Scan, plane: Any, order: tuple[int, int, int], flips: tuple[bool, bool, bool]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        save(Path(name), stored_as(scan, plane, flips))
        dicom = read_scan(name)
    np.testing.assert_array_equal(dicom.volume, scan.volume)
    # a direction cosine of a header has at most 16 characters
    np.testing.assert_allclose(dicom.affine, scan.affine, atol=1e-9)
    stored = stored_as(scan, order, flips)
    image = nibabel.Nifti1Image(stored.volume.astype(np.int16), TO_RAS @ stored.affine)
    nifti = read_nifti("T2.nii", image.to_bytes())
    np.testing.assert_array_equal(nifti.volume, dicom.volume)
    np.testing.assert_allclose(nifti.affine, dicom.affine, atol=1e-4)
    np.testing.assert_allclose(nifti.pixel_spacing, dicom.pixel_spacing, rtol=1e-5)
    np.testing.assert_allclose(nifti.slice_spacing, dicom.slice_spacing, rtol=1e-5)
    assert nifti.flags == dicom.flags


@settings(max_examples=15, deadline=None)
@given(
    scan=posed_scans(),
    plane=st.sampled_from([(0, 1, 2), (1, 0, 2)]),
    flips=st.tuples(*[st.booleans()] * 3),
    data=st.data(),
)
def test_a_pixel_lies_where_its_own_tags_put_it(
    scan: Scan, plane: Any, flips: tuple[bool, bool, bool], data: st.DataObject
) -> None:
    """By the equation of PS3.3 C.7.6.2.1.1 from one file's tags alone."""
    # every voxel another value, so that it is found again
    scan.volume[:] = np.random.default_rng(0).permutation(scan.volume.size).reshape(scan.shape)
    with tempfile.TemporaryDirectory() as name:
        paths = save(Path(name), stored_as(scan, plane, flips))
        dataset = pydicom.dcmread(data.draw(st.sampled_from(paths)))
        read = read_scan(name)
    row = data.draw(st.integers(0, dataset.Rows - 1))
    column = data.draw(st.integers(0, dataset.Columns - 1))
    cosines = np.array(dataset.ImageOrientationPatient, dtype=float).reshape(2, 3)
    row_mm, column_mm = (float(value) for value in dataset.PixelSpacing)
    place = (
        np.array(dataset.ImagePositionPatient, dtype=float)
        + cosines[0] * column_mm * column
        + cosines[1] * row_mm * row
    )
    ((y, x, at),) = np.argwhere(read.volume == dataset.pixel_array[row, column])
    np.testing.assert_allclose(to_patient(read.affine, (x, y), at), place, atol=1e-6)


@settings(max_examples=10, deadline=None)
@given(numbers=st.lists(st.integers(0, 5), min_size=5, max_size=5), spacing=st.floats(0.1, 99))
def test_numbers_names_and_stated_distances_decide_nothing(
    numbers: Any, spacing: tuple[float, float]
) -> None:
    scan = make_scan()
    with tempfile.TemporaryDirectory() as name:
        for path, number in zip(save(Path(name), scan), numbers, strict=True):

            def misnumber(dataset: pydicom.Dataset, number: int = number) -> None:
                dataset.InstanceNumber = number
                dataset.SliceThickness = dataset.SpacingBetweenSlices = spacing
                dataset.SliceLocation = -number

            edit([path], misnumber)
            path.rename(path.with_name(f"{number}{path.name}"))
        assert_same(read_scan(name), scan)
