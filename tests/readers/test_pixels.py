"""Decoding on the files that pydicom brings, and on files that were damaged at random."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from spinenet.errors import ScanError
from spinenet.readers.dicom.assembly import read_dicom
from spinenet.readers.dicom.headers import read_frame
from spinenet.readers.dicom.pixels import check_format, stored_pixels
from spinenet.readers.series import read_scan
from support import jpeg_lossless
from support.small_scans import assert_same, damaged_bytes, edit, make_scan, save


def decode(name: str) -> np.ndarray:
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"this pydicom does not bring {name}")
    data = Path(path).read_bytes()
    frame = read_frame(name, data)
    assert frame is not None
    check_format(frame.pixels)
    return stored_pixels(data, frame.pixels)[0]


@pytest.mark.parametrize(
    "name",
    [
        "MR_small_RLE.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_expb.dcm",
        "MR_small_implicit.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "MR_small_padded.dcm",
    ],
)
def test_every_encoding_of_one_image_is_the_same(name: str) -> None:
    np.testing.assert_array_equal(decode(name), decode("MR_small.dcm"))


def test_jpeg_lossless_is_bit_for_bit(tmp_path: Path) -> None:
    scan = make_scan((40, 36, 3))
    scan.volume[:2] = 65535 * (np.arange(36 * 2).reshape(2, 36, 1) % 2)
    paths = save(tmp_path, scan)

    def compress(dataset: pydicom.Dataset) -> None:
        pixels = scan.volume[:, :, dataset.InstanceNumber - 1].astype(np.uint16)
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLosslessSV1
        dataset.PixelData = pydicom.encaps.encapsulate([jpeg_lossless.encode(pixels)])
        dataset["PixelData"].is_undefined_length = True

    edit(paths, compress)
    assert_same(read_scan(tmp_path), scan)
    # a decoder fills up what was cut off, and says nothing
    whole = paths[0].read_bytes()
    frame = read_frame("a", whole)
    assert frame is not None
    assert frame.pixels.start is not None
    for end in range(frame.pixels.start + 12, len(whole)):
        with pytest.raises(ScanError, match=r"ends within|no pixel data"):
            stored_pixels(whole[:end], frame.pixels)


def test_truncated_image_of_pydicom() -> None:
    with pytest.raises(ScanError) as caught:
        decode("MR_truncated.dcm")
    assert caught.value.reason == "bad_pixels"


@pytest.mark.parametrize("compression", [None, "rle", "jpeg2000"])
def test_damaged_files_end_as_a_scan_or_a_reason(tmp_path: Path, compression: str | None) -> None:
    whole = [path.read_bytes() for path in save(tmp_path, make_scan((40, 36, 3)), compression=compression)]
    dice = random.Random(7)
    for _ in range(150):
        damaged = damaged_bytes(whole[1], dice, min(1700, len(whole[1])))
        # anything but a ScanError fails the test
        with contextlib.suppress(ScanError):
            read_dicom({"0": whole[0], "1": damaged, "2": whole[2]})
