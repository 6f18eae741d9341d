"""One spine, stored in every way: the same vertebrae in the patient, the same grades, left on the left."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spinenet.geometry import to_patient
from spinenet.inference.pipeline import read_spine
from spinenet.readers.series import read_scan
from spinenet.synthetic.image import render, render_slice, sample_subject, slice_rng, true_discs
from spinenet.types import Scan, SpineReading
from spinenet.weights import resolve
from spinenet.weights.networks import Networks, load_networks
from support.small_scans import save, stored_as

SEED = 5017
"""A lumbar spine with foraminal stenosis on the left alone, graded with a wide margin."""

OBLONG_SEED = 5387
"""Another, whose pixels are not square, and whose bodies' middle slice is the same from either side."""

LEFT, RIGHT = "foraminal_stenosis_left", "foraminal_stenosis_right"
SAGITTAL, TRANSPOSED, AXIAL = (0, 1, 2), (1, 0, 2), (1, 2, 0)

ORDERS = [
    (TRANSPOSED if transposed else SAGITTAL, (rows, columns, transposed ^ rows ^ columns))
    for transposed, rows, columns in itertools.product((False, True), repeat=3)
]
"""Eight ways to store a plane; with half of them the slices, their names and their numbers run backwards."""


@pytest.fixture(scope="module")
def networks() -> Networks:
    return load_networks(resolve("synthetic"))


@pytest.fixture(scope="module")
def scan() -> Scan:
    return render(SEED).scan


@pytest.fixture(scope="module")
def unstored(scan: Scan, networks: Networks) -> SpineReading:
    """Of the scan that never was in a file."""
    return read_spine(scan, networks)


@pytest.fixture(scope="module")
def oblong(networks: Networks) -> tuple[Scan, SpineReading]:
    scan = render(OBLONG_SEED).scan
    return scan, read_spine(scan, networks)


def left_discs(seed: int) -> list[str]:
    """Discs with a foraminal stenosis, of which there is one at least; on the right there is none."""
    discs = true_discs(sample_subject(np.random.default_rng([seed, 3])))
    assert not any(classes[RIGHT] for classes in discs.values())
    found = [level for level, classes in discs.items() if classes[LEFT]]
    assert found
    return found


def centres_of(scan: Scan, reading: SpineReading) -> dict[str, np.ndarray]:
    """Patient mm of each vertebra's mean quad, by level."""
    return {
        v.level: to_patient(scan.affine, v.mean_quad.mean(axis=0), float(np.mean(v.slices)))
        for v in reading.vertebrae
    }


def stenosis_of(reading: SpineReading) -> dict[str, tuple[float, float]]:
    """Probabilities of foraminal stenosis (left, right), by disc."""
    return {g.level: (g.probabilities[LEFT][1], g.probabilities[RIGHT][1]) for g in reading.grades}


def assert_same_reading(read: Scan, reading: SpineReading, scan: Scan, wanted: SpineReading) -> None:
    centres, expected = centres_of(read, reading), centres_of(scan, wanted)
    assert list(centres) == list(expected)
    np.testing.assert_allclose(list(centres.values()), list(expected.values()), atol=1e-3)
    assert [g.level for g in reading.grades] == [g.level for g in wanted.grades]
    for grade, other in zip(reading.grades, wanted.grades, strict=True):
        for name, row in other.probabilities.items():
            np.testing.assert_allclose(grade.probabilities[name], row, atol=1e-4)


@pytest.mark.parametrize(("order", "flips"), ORDERS)
def test_left_is_left_however_the_series_is_stored(
    tmp_path: Path,
    networks: Networks,
    scan: Scan,
    unstored: Any,
    order: tuple[int, int, int],
    flips: tuple[bool, bool, bool],
) -> None:
    save(tmp_path, stored_as(scan, order, flips))
    read = read_scan(tmp_path)
    reading = read_spine(read, networks)
    assert_same_reading(read, reading, scan, unstored)
    found = stenosis_of(reading)
    assert all(found[level][0] > found[level][1] for level in left_discs(SEED))


def test_a_mirrored_patient_has_it_on_the_right(tmp_path: Path, networks: Networks, oblong: Any) -> None:
    """The same planes, stacked from the other side of the patient."""
    scan, _ = oblong
    save(tmp_path, replace(scan, volume=scan.volume[:, :, ::-1]))
    found = stenosis_of(read_spine(read_scan(tmp_path), networks))
    assert all(found[level][1] > found[level][0] for level in left_discs(OBLONG_SEED))


def test_oblong_pixels_stored_crosswise(tmp_path: Path, networks: Networks, oblong: Any) -> None:
    scan, wanted = oblong
    assert scan.pixel_spacing[0] < 0.95 * scan.pixel_spacing[1]
    save(tmp_path, stored_as(scan, TRANSPOSED, (True, False, True)))
    read = read_scan(tmp_path)
    assert_same_reading(read, read_spine(read, networks), scan, wanted)


def test_oblong_pixels_in_nifti(tmp_path: Path, networks: Networks, oblong: Any) -> None:
    nibabel = pytest.importorskip("nibabel")
    scan, wanted = oblong
    stored = stored_as(scan, AXIAL, (True, False, True))
    image = nibabel.Nifti1Image(stored.volume.astype(np.int16), np.diag([-1, -1, 1, 1]) @ stored.affine)
    nibabel.save(image, tmp_path / "a_T2w.nii.gz")
    read = read_scan(tmp_path / "a_T2w.nii.gz")
    assert_same_reading(read, read_spine(read, networks), scan, wanted)


def thin_scan(seed: int) -> Scan:
    """The subject of ``render(seed)`` over the same width, in slices of 1 mm."""
    subject = sample_subject(np.random.default_rng([seed, 3]))
    thick = subject.acquisition
    slices = int((thick.slices - 1) * thick.slice_spacing) + 1
    thin = replace(subject, acquisition=replace(thick, slices=slices, slice_spacing=1.0, thickness=1.0))
    volume = np.stack([render_slice(thin, k, slice_rng(seed, k)) for k in range(slices)], axis=2)
    scan = render(seed).scan
    affine = scan.affine.copy()
    affine[:3, 2] /= scan.slice_spacing
    return Scan(np.rint(volume), scan.pixel_spacing, 1.0, affine, scan.sequence)


def test_an_axial_volume_of_thin_slices_reads_as_the_thick_slices_do(
    tmp_path: Path, networks: Networks, scan: Scan, unstored: Any
) -> None:
    save(tmp_path, stored_as(thin_scan(SEED), AXIAL, (True, True, False)))
    read = read_scan(tmp_path)
    assert read.flags == ("reformatted",)
    assert read.slice_spacing == pytest.approx(4.0)
    reading = read_spine(read, networks)
    centres, expected = centres_of(read, reading), centres_of(scan, unstored)
    lumbar = ("L1", "L2", "L3", "L4", "L5")
    assert set(lumbar) <= centres.keys() & expected.keys()
    for level in lumbar:
        assert np.linalg.norm(centres[level] - expected[level]) < 4
    found = stenosis_of(reading)
    assert all(found[level][0] > found[level][1] for level in left_discs(SEED))
