"""Pixel values, contrasts and privacy: what a header does to a voxel, and what of it may be told."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from spinenet.errors import ScanError
from spinenet.readers.dicom.facts import sequence_of
from spinenet.readers.series import read_scan
from spinenet.types import Scan
from support.small_scans import SERIES, edit, make_scan, save

CANARY = "Kanarienvogel"


def change_pixels(dataset: pydicom.Dataset, change: Callable[..., Any], dtype: Any = "<u2") -> None:
    dataset.PixelData = change(np.frombuffer(dataset.PixelData, dtype)).astype(dtype).tobytes()


def test_rescale_is_applied_per_slice(series: list[Path], scan: Scan) -> None:
    def rescaled(dataset: pydicom.Dataset) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = dataset.InstanceNumber, -7

    edit(series, rescaled)
    np.testing.assert_array_equal(read_scan(series[0].parent).volume, scan.volume * np.arange(1, 6) - 7)


def test_impossible_rescale_is_not_applied(series: list[Path], scan: Scan) -> None:
    edit(series, lambda ds: setattr(ds, "RescaleSlope", 0))
    read = read_scan(series[0].parent)
    np.testing.assert_array_equal(read.volume, scan.volume)
    assert read.flags == ("rescale_ignored",)


@pytest.mark.parametrize(("signed", "top"), [(0, 4095), (1, -1)])
def test_monochrome1_is_turned_round(series: list[Path], scan: Scan, signed: bool, top: int) -> None:
    bits = 12 + signed

    def turned(dataset: pydicom.Dataset) -> None:
        dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME1", signed
        dataset.BitsStored, dataset.HighBit = bits, bits - 1

    edit(series, turned)
    read = read_scan(series[0].parent)
    np.testing.assert_array_equal(read.volume, top - scan.volume)
    assert read.flags == ("monochrome1",)


def test_dirty_high_bits_are_cleared(series: list[Path], scan: Scan) -> None:
    def dirty(ds: pydicom.Dataset) -> None:
        ds.BitsStored, ds.HighBit = 12, 11
        change_pixels(ds, lambda pixels: pixels | 0xA000)

    edit(series, dirty)
    np.testing.assert_array_equal(read_scan(series[0].parent).volume, scan.volume)


def test_high_bit_above_the_stored_bits_is_shifted_down(series: list[Path], scan: Scan) -> None:
    def shifted(ds: pydicom.Dataset) -> None:
        ds.BitsStored, ds.HighBit = 12, 15
        change_pixels(ds, lambda pixels: pixels << 4)

    edit(series, shifted)
    np.testing.assert_array_equal(read_scan(series[0].parent).volume, scan.volume)


def test_signed_12_bit(tmp_path: Path) -> None:
    scan = make_scan()
    scan.volume[:] -= 2000

    def in_12_bits(dataset: pydicom.Dataset) -> None:
        dataset.BitsStored, dataset.HighBit = 12, 11
        change_pixels(dataset, lambda p: p & 0xFFF)

    edit(save(tmp_path, scan, pixel_dtype="int16"), in_12_bits)
    np.testing.assert_array_equal(read_scan(tmp_path).volume, scan.volume)


def test_padding_after_the_pixels_does_no_harm(series: list[Path], scan: Scan) -> None:
    edit(series, lambda ds: setattr(ds, "PixelData", ds.PixelData + b"\0" * 64))
    np.testing.assert_array_equal(read_scan(series[0].parent).volume, scan.volume)


@pytest.mark.parametrize(
    ("times", "options", "wanted"),
    [
        ((100, 3500, None), {}, "T2"),
        ((100, 3500, None), {"description": "t1 sag"}, "T2"),
        ((10, 550, None), {"description": "t2 sag"}, "T1"),
        ((9, 2000, 860), {"inversion_recovery": True}, "T1"),
        ((60, 4000, 160), {"inversion_recovery": True}, "STIR"),
        ((60, 4000, None), {"description": "STIR sag"}, "STIR"),
        ((30, 4000, None), {}, "other"),
        ((14, 500, None), {"gradient_echo": True, "description": "T2*"}, "other"),
        ((None, None, None), {"description": "T2w"}, "T2"),
        ((None, None, None), {"description": "sag_t1_tse"}, "T1"),
        ((None, None, None), {"description": "tirm"}, "STIR"),
        ((None, None, None), {}, "other"),
        ((120, 9000, 2500), {"inversion_recovery": True}, "other"),
    ],
)
def test_sequence_rules(times: Any, options: Any, wanted: Any) -> None:
    assert (
        sequence_of(*times, **{**options, "description": options.get("description", "").replace("_", " ")})
        == wanted
    )


def plant(dataset: pydicom.Dataset) -> None:
    for element in list(dataset):
        if element.VR in ("PN", "LO", "SH", "LT", "ST", "UT", "CS", "AE") and element.keyword not in (
            "Modality", "PhotometricInterpretation", "SpecificCharacterSet",
        ):  # fmt: skip
            element.value = CANARY.upper() if element.VR in ("CS", "AE") else CANARY
    dataset.PatientName = dataset.InstitutionName = dataset.PatientComments = CANARY
    dataset.PatientBirthDate = f"{CANARY}"


def test_no_text_of_the_header_gets_out(tmp_path: Path, scan: Scan, caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        paths = save(tmp_path / CANARY, scan)
        edit(paths, plant)
    caplog.clear()
    with caplog.at_level(logging.INFO):
        read = read_scan(str(tmp_path / CANARY))
    told = repr((read.header, read.flags, read.fingerprint, read.sequence)) + caplog.text
    assert CANARY.lower() not in told.lower()
    assert read.header["series_uid"] == SERIES

    def spoil(dataset: pydicom.Dataset) -> None:
        dataset.Modality, dataset.SOPClassUID = CANARY.upper(), pydicom.uid.CTImageStorage

    for change in (
        spoil,
        lambda ds: setattr(ds, "PhotometricInterpretation", CANARY.upper()),
        lambda ds: ds.pop("PixelSpacing"),
        lambda ds: ds.pop("PixelData"),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            save(tmp_path / CANARY, scan)
            edit(paths, plant)
            edit(paths[:2], change)
        caplog.clear()
        with caplog.at_level(logging.INFO), pytest.raises(ScanError) as caught:
            read_scan(str(tmp_path / CANARY))
        assert CANARY.lower() not in f"{caught.value!r}{caught.value}{caplog.text}".lower()


def test_odd_headers_become_a_flag(series: list[Path], scan: Scan) -> None:
    for path in series:
        # an echo time with a letter O in it
        path.write_bytes(path.read_bytes().replace(b"102.0 ", b"1O2.0 "))
    read = read_scan(series[0].parent)
    np.testing.assert_array_equal(read.volume, scan.volume)
    assert read.flags == ("header_warnings",)
    assert "echo_time" not in read.header
    assert read.sequence == "T2"


def test_wrong_uid_is_not_echoed(series: list[Path]) -> None:
    edit(series, lambda ds: setattr(ds, "SeriesInstanceUID", pydicom.uid.UID("1.2.3.4", validation_mode=0)))
    assert read_scan(series[0].parent).header["series_uid"] == "1.2.3.4"
