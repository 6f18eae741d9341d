"""Padding is no tissue: however a file marks it, the picture and what is found in it are the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.tag import Tag

from spinenet.geometry import to_square_pixels
from spinenet.inference.pipeline import detect
from spinenet.readers.dicom.assembly import read_dicom
from spinenet.readers.series import read_scan
from spinenet.settings import Settings
from spinenet.synthetic.enhanced import write_enhanced
from spinenet.synthetic.image import render
from spinenet.types import Scan
from spinenet.weights import resolve
from spinenet.weights.networks import load_networks
from support.small_scans import edit, make_scan, save

VALUE = Tag("PixelPaddingValue")
BORDER = np.s_[:, :3]
"""Columns that are padded."""


def padded(
    value: int, *, bits: int = 16, signed: bool = True, also: int | None = None, **tags: object
) -> Callable[[pydicom.Dataset], None]:
    """Fill the border's pixels with ``value``, one of them with ``also``, and set tags."""

    def change(dataset: pydicom.Dataset) -> None:
        shape = (dataset.Rows, dataset.Columns)
        pixels = np.frombuffer(dataset.PixelData, "<u2").reshape(shape).astype(np.int64)
        pixels[BORDER] = value
        if also is not None:
            pixels[0, 0] = also
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = bits, bits - 1, int(signed)
        dataset.PixelData = (pixels & 0xFFFF).astype("<u2").tobytes()
        for keyword, said in tags.items():
            if keyword.startswith("PixelPadding") and isinstance(said, int):
                dataset.add_new(Tag(keyword), "SS" if signed else "US", said)
            elif isinstance(said, pydicom.DataElement):
                dataset.add(said)
            else:
                setattr(dataset, keyword, said)

    return change


def filled(scan: Scan) -> np.ndarray:
    """The scan's volume, its border as low as the rest of each slice."""
    volume = scan.volume.copy()
    volume[BORDER] = scan.volume[:, 3:].min(axis=(0, 1))
    return volume


FORMS = {
    "signed": padded(-32768, PixelPaddingValue=-32768),
    "signed, stated as unsigned": padded(-32768, Stated=pydicom.DataElement(0x00280120, "US", 32768)),
    "unsigned": padded(65535, signed=False, PixelPaddingValue=65535),
    "unsigned, stated as signed": padded(
        65535, signed=False, Stated=pydicom.DataElement(0x00280120, "SS", -1)
    ),
    "within 13 bits": padded(-4096, bits=13, PixelPaddingValue=-4096),
    "more than the 12 bits that are stored": padded(0xF830, bits=12, signed=False, PixelPaddingValue=0xF830),
    "a range": padded(-2000, also=-1000, PixelPaddingValue=-2000, PixelPaddingRangeLimit=-1000),
    "a range, its ends the other way round": padded(
        -2000, also=-1000, PixelPaddingValue=-1000, PixelPaddingRangeLimit=-2000
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_padding_takes_the_lowest_value_of_its_slice(series: list[Path], scan: Scan, form: str) -> None:
    edit(series, FORMS[form])
    read = read_scan(series[0].parent)
    np.testing.assert_array_equal(read.volume, filled(scan))
    assert read.flags == ("padding_replaced",)


def test_implicit_files(series: list[Path], scan: Scan) -> None:
    """What has no VR of its own is signed or not as the pixels are."""

    def implicit(dataset: pydicom.Dataset) -> None:
        padded(-32768, PixelPaddingValue=-32768)(dataset)
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian

    for path in series:
        dataset = pydicom.dcmread(path)
        implicit(dataset)
        dataset.save_as(path, implicit_vr=True, little_endian=True)
    np.testing.assert_array_equal(read_scan(series[0].parent).volume, filled(scan))


def test_rescaled_and_turned_round(series: list[Path], scan: Scan) -> None:
    more: dict[str, Any] = {
        "RescaleSlope": 2,
        "RescaleIntercept": -10,
        "PhotometricInterpretation": "MONOCHROME1",
    }
    edit(series, padded(-32768, PixelPaddingValue=-32768, **more))
    turned = Scan((-1 - scan.volume) * 2 - 10, scan.pixel_spacing, scan.slice_spacing, scan.affine)
    read = read_scan(series[0].parent)
    np.testing.assert_array_equal(read.volume, filled(turned))
    assert read.flags == ("monochrome1", "padding_replaced")


@pytest.mark.parametrize("compression", ["rle", "jpeg2000"])
def test_compressed_files(tmp_path: Path, compression: str) -> None:
    scan = make_scan((64, 48, 3))
    volume = scan.volume.copy()
    volume[BORDER] = 65535
    stored = Scan(volume, scan.pixel_spacing, scan.slice_spacing, scan.affine, scan.sequence)
    edit(save(tmp_path, stored, compression=compression), lambda ds: ds.add_new(VALUE, "US", 65535))
    np.testing.assert_array_equal(read_scan(tmp_path).volume, filled(scan))


def test_enhanced_files(tmp_path: Path, series: list[Path], scan: Scan) -> None:
    edit(series, padded(-32768, PixelPaddingValue=-32768))
    write_enhanced(tmp_path / "enhanced.dcm", series)
    edit([tmp_path / "enhanced.dcm"], lambda ds: ds.add_new(VALUE, "SS", -32768))
    data = (tmp_path / "enhanced.dcm").read_bytes()
    np.testing.assert_array_equal(read_dicom({"a": data}).volume, filled(scan))


def test_a_slice_and_a_volume_of_nothing_else(series: list[Path], scan: Scan) -> None:
    def all_padding(dataset: pydicom.Dataset) -> None:
        dataset.add_new(VALUE, "US", 5000)
        dataset.PixelData = np.full(20 * 16, 5000, "<u2").tobytes()

    edit(series[:1], all_padding)
    read = read_scan(series[0].parent)
    assert set(np.unique(read.volume[:, :, 0])) == {scan.volume[:, :, 1:].min()}
    edit(series, all_padding)
    assert set(np.unique(read_scan(series[0].parent).volume)) == {5000}


def test_the_same_vertebrae_with_and_without_padding(tmp_path: Path) -> None:
    """A drawn lumbar spine, whose edges in front and behind are cut off and padded by -32768."""
    drawn = render(3)
    middle = drawn.scan.shape[2] // 2
    affine = drawn.scan.affine.copy()
    volume = np.rint(drawn.scan.volume[:, :, middle - 1 : middle + 2]).clip(0, 4095)
    cut = round(20 / drawn.scan.pixel_spacing[1])
    volume[:, :cut] = volume[:, -cut:] = 0
    plain = Scan(
        volume.astype(np.float32),
        drawn.scan.pixel_spacing,
        drawn.scan.slice_spacing,
        affine,
        drawn.scan.sequence,
    )

    def pad(dataset: pydicom.Dataset) -> None:
        pixels = np.frombuffer(dataset.PixelData, "<u2").reshape(dataset.Rows, dataset.Columns).astype("<i2")
        pixels[:, :cut] = pixels[:, -cut:] = -32768
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 15, 1
        dataset.add_new(VALUE, "SS", -32768)
        dataset.PixelData = pixels.tobytes()

    save(tmp_path / "plain", plain)
    edit(save(tmp_path / "padded", plain), pad)
    networks = load_networks(resolve("synthetic"))
    scans = [to_square_pixels(read_scan(tmp_path / name)) for name in ("plain", "padded")]
    found = [detect(scan, networks, Settings()) for scan in scans]
    assert len(found[0]) >= 4
    assert [vertebra.slices for vertebra in found[0]] == [vertebra.slices for vertebra in found[1]]
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one.quads, other.quads, atol=0.5)
