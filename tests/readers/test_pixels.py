"""Decoding on the files that pydicom brings, and on files that were damaged at random."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import jpeg_lossless
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from small_scans import assert_same, damaged_bytes, edit, make_scan, save

from spinenet.errors import ScanError
from spinenet.readers.dicom import read_dicom
from spinenet.readers.headers import read_frame
from spinenet.readers.pixels import check_format, codestream_size, stored_pixels
from spinenet.readers.series import read_scan
from spinenet.synthetic.dicom import can_compress


def decode(name: str) -> np.ndarray:
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"this pydicom does not bring {name}")
    data = Path(path).read_bytes()
    frame = read_frame(name, data)
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
def test_every_encoding_of_one_image_is_the_same(name):
    np.testing.assert_array_equal(decode(name), decode("MR_small.dcm"))


def test_jpeg_lossless_is_bit_for_bit(tmp_path):
    scan = make_scan((40, 36, 3))
    scan.volume[:2] = 65535 * (np.arange(36 * 2).reshape(2, 36, 1) % 2)
    paths = save(tmp_path, scan)

    def compress(dataset):
        pixels = scan.volume[:, :, dataset.InstanceNumber - 1].astype(np.uint16)
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLosslessSV1
        dataset.PixelData = pydicom.encaps.encapsulate([jpeg_lossless.encode(pixels)])
        dataset["PixelData"].is_undefined_length = True

    edit(paths, compress)
    assert_same(read_scan(tmp_path), scan)


def test_truncated_image_of_pydicom():
    with pytest.raises(ScanError) as caught:
        decode("MR_truncated.dcm")
    assert caught.value.reason == "bad_pixels"


def test_codestream_sizes():
    jpeg = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc3\x00\x0b\x10\x00\x40\x00\x30\x01"
    assert codestream_size(jpeg) == (64, 48)
    assert codestream_size(jpeg.replace(b"\xc3", b"\xf7")) == (64, 48)
    assert codestream_size(b"\0" * 64) is None
    assert codestream_size(b"") is None


@pytest.mark.parametrize("compression", [None, "rle", "jpeg2000"])
def test_damaged_files_end_as_a_scan_or_a_reason(tmp_path, compression):
    whole = [path.read_bytes() for path in save(tmp_path, make_scan((40, 36, 3)), compression=compression)]
    dice = random.Random(7)
    for _ in range(150):
        damaged = damaged_bytes(whole[1], dice, min(1700, len(whole[1])))
        # anything but a ScanError fails the test
        with contextlib.suppress(ScanError):
            read_dicom({"0": whole[0], "1": damaged, "2": whole[2]})


@pytest.mark.parametrize("compression", ["rle", "jpeg2000", "jpegls"])
def test_no_decoder_but_the_chosen_one_is_asked(tmp_path, monkeypatch, compression):
    """One that is installed for another purpose may end the process on a damaged stream."""
    if not can_compress(compression):
        pytest.skip(f"no encoder for {compression} is installed")
    paths = save(tmp_path, make_scan((40, 36, 3)), compression=compression)
    data = paths[0].read_bytes()
    frame = read_frame("a", data)
    decoder = pydicom.pixels.get_decoder(frame.pixels.transfer_syntax)
    wanted = "pydicom" if compression == "rle" else "pylibjpeg"

    def forbidden(*arguments):
        raise AssertionError("another decoder was asked")

    others = {name: forbidden for name in (*decoder.available_plugins, "a stranger") if name != wanted}
    # as pydicom keeps them: the first that does not fail is taken
    monkeypatch.setattr(decoder, "_available", others | {wanted: decoder._available[wanted]})
    check_format(frame.pixels)
    np.testing.assert_array_equal(
        stored_pixels(data, frame.pixels)[0], make_scan((40, 36, 3)).volume[:, :, 0]
    )
    damaged = bytearray(data)
    damaged[-400:-100] = b"\xff" * 300
    asked = []
    monkeypatch.setattr(
        decoder, "_available", {"a stranger": lambda *a: asked.append(1), wanted: decoder._available[wanted]}
    )
    with contextlib.suppress(ScanError):
        stored_pixels(bytes(damaged), frame.pixels)
    assert not asked
