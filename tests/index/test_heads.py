"""The head of a file is what its whole says, from few of its bytes, wherever a page may end."""

from __future__ import annotations

import dataclasses
import gzip
import io
import random
import struct
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from spinenet.errors import ScanError
from spinenet.index import heads as heads_module
from spinenet.index.heads import PAGE, Counted, Head, read_head
from spinenet.readers.dicom.frames import Frame
from spinenet.readers.dicom.headers import read_frames
from spinenet.readers.sources.part10 import as_part10
from spinenet.synthetic.enhanced import write_enhanced
from support.trees import edit, series

UIDS = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
]


def head_of(data: bytes) -> tuple[Head, int]:
    file = Counted(io.BytesIO(data))
    return read_head("name", file), file.bytes_read


def alike(frames: tuple[Frame, ...]) -> list[Frame]:
    return [dataclasses.replace(frame, digest="") for frame in frames]


def whole(data: bytes) -> list[Frame]:
    part10 = as_part10(data)
    assert part10 is not None
    return alike(read_frames("name", part10))


def bytes_of(dataset: pydicom.Dataset, uid: str = ExplicitVRLittleEndian) -> bytes:
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(uid)
    big = uid == ExplicitVRBigEndian
    buffer = io.BytesIO()
    pydicom.dcmwrite(
        buffer,
        dataset,
        implicit_vr=uid == ImplicitVRLittleEndian,
        little_endian=not big,
        force_encoding=big,
    )
    return buffer.getvalue()


def meta_end(data: bytes) -> int:
    return 144 + int(struct.unpack_from("<I", data, 140)[0])


@pytest.fixture
def dataset(tmp_path: Path) -> pydicom.Dataset:
    """A megabyte of pixels."""
    return pydicom.dcmread(series(tmp_path, shape=(1024, 512, 3))[0])


# a deflated file says so in its meta header, so it is never bare
FORMS = [("plain", uid) for uid in UIDS] + [("gzip", uid) for uid in UIDS]
FORMS += [(form, uid) for form in ("bare", "gzip bare") for uid in UIDS[:3]]


@pytest.mark.parametrize(("form", "uid"), FORMS)
def test_every_form_of_file(dataset: pydicom.Dataset, uid: str, form: str) -> None:
    data = bytes_of(dataset, uid)
    if "bare" in form:
        data = data[meta_end(data) :]
    if "gzip" in form:
        data = gzip.compress(data)
    head, read = head_of(data)
    assert alike(head.frames) == whole(data)
    assert head.frames[0].pixels.start is not None
    assert read <= 2 * PAGE
    packed = "gzip" in form or uid == DeflatedExplicitVRLittleEndian
    assert (head.shift is None) == packed
    assert head.held(len(data)) == 1024 * 512 * 2
    if not packed:
        assert head.held(len(data) - 10) == 1024 * 512 * 2 - 10


def test_a_short_header_takes_one_page(dataset: pydicom.Dataset) -> None:
    head, read = head_of(bytes_of(dataset))
    assert read == PAGE
    assert len(head.data) == PAGE


@pytest.mark.parametrize("uid", UIDS[:3])
def test_long_private_values_are_passed_over(dataset: pydicom.Dataset, uid: str) -> None:
    for group in (0x0009, 0x0029):
        dataset.add_new((group, 0x0010), "LO", "SPINENET TEST")
        dataset.add_new((group, 0x1001), "OB", bytes(range(256)) * 800)
    data = bytes_of(dataset, uid)
    head, read = head_of(data)
    assert alike(head.frames) == whole(data)
    assert head.held(len(data)) == 1024 * 512 * 2
    assert read <= 4 * PAGE
    # one value lies before the patient's tags
    assert pydicom.dcmread(io.BytesIO(head.data), stop_before_pixels=True).PatientID == "p1"


def test_long_values_of_undefined_length(dataset: pydicom.Dataset) -> None:
    item = pydicom.Dataset()
    item.TextValue = "x" * 200
    dataset.add_new((0x0009, 0x0010), "LO", "SPINENET TEST")
    dataset.add_new((0x0009, 0x1001), "SQ", [item] * 50)
    dataset[0x0009, 0x1001].is_undefined_length = True
    data = bytes_of(dataset)
    head, read = head_of(data)
    assert alike(head.frames) == whole(data)
    assert head.frames[0].pixels.start is not None
    assert read < 60 * 1000


def test_a_page_may_end_anywhere(dataset: pydicom.Dataset) -> None:
    item = pydicom.Dataset()
    item.TextValue = "x"
    dataset.add_new((0x0009, 0x0010), "LO", "SPINENET TEST")
    dataset.add_new((0x0029, 0x0010), "LO", "SPINENET TEST")
    dataset.add_new((0x0029, 0x1001), "SQ", [item, item])
    dataset[0x0029, 0x1001].is_undefined_length = True
    dataset.PixelData = dataset.PixelData[:64]
    dataset.Rows, dataset.Columns = 8, 4
    dataset.add_new((0x0009, 0x1001), "OB", b"")
    ends = bytes_of(dataset).index(b"\xe0\x7f\x10\x00")
    assert ends < PAGE
    wanted = None
    # from where the page ends within the pixels to where it ends among the first tags
    for padding in range(PAGE - ends - 14, PAGE - 500, 2):
        dataset[0x0009, 0x1001].value = b"\0" * padding
        data = bytes_of(dataset)
        head, _ = head_of(data)
        frame = dataclasses.replace(
            head.frames[0], digest="", pixels=dataclasses.replace(head.frames[0].pixels, start=0)
        )
        wanted = wanted or frame
        assert head.frames[0].pixels.start == data.index(b"\xe0\x7f\x10\x00")
        assert head.held(len(data)) == 64
        assert frame == wanted


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("slices", [4, 60])
def test_enhanced_files(tmp_path: Path, slices: int, undefined: bool) -> None:
    target = tmp_path / "enhanced.dcm"
    write_enhanced(target, series(tmp_path / "classic", shape=(64, 64, slices)))

    def end_openly(dataset: pydicom.Dataset) -> None:
        for element in dataset:
            if element.VR == "SQ":
                element.is_undefined_length = undefined

    edit([target], end_openly)
    data = target.read_bytes()
    head, read = head_of(data)
    assert len(head.frames) == slices
    assert alike(head.frames) == whole(data)
    assert head.held(len(data)) == 64 * 64 * 2 * slices
    assert head.frames[0].pixels.start is not None
    assert read <= head.frames[0].pixels.start + 2 * PAGE


def test_gzipped_headers_of_any_length(dataset: pydicom.Dataset) -> None:
    dataset.add_new((0x0029, 0x0010), "LO", "SPINENET TEST")
    dataset.add_new((0x0029, 0x1001), "OB", random.Random(0).randbytes(3 << 20))
    data = gzip.compress(bytes_of(dataset), 1)
    head, _ = head_of(data)
    assert alike(head.frames) == whole(data)
    assert head.frames[0].pixels.start is not None


def test_files_without_pixels(dataset: pydicom.Dataset) -> None:
    del dataset.PixelData
    for padding in (0, 10_000):
        dataset.add_new((0x0009, 0x0010), "LO", "SPINENET TEST")
        dataset.add_new((0x0009, 0x1001), "OB", b"\0" * padding)
        data = bytes_of(dataset)
        head, _ = head_of(data)
        assert alike(head.frames) == whole(data)
        assert head.held(len(data)) is None


@pytest.mark.parametrize("data", [b"", b"\0" * 10_000, b"text " * 5000, gzip.compress(b"\0" * 100_000)])
def test_other_files_take_one_page(data: bytes) -> None:
    head, read = head_of(data)
    assert head.frames == ()
    assert read <= PAGE


def test_lengths_that_lead_far_away(dataset: pydicom.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset.add_new((0x0009, 0x0010), "LO", "SPINENET TEST")
    dataset.add_new((0x0009, 0x1001), "OB", b"\0" * 100_000)
    dataset.SeriesDescription = "t2"
    data = bytearray(bytes_of(dataset))
    at = data.index(b"\x09\x00\x01\x10OB") + 8
    struct.pack_into("<I", data, at, 0x7FFFFFF0)
    with pytest.raises(ScanError) as caught:
        head_of(bytes(data))
    assert caught.value.reason == "too_large"
    monkeypatch.setattr(heads_module, "MAX_HEAD", 1 << 32)
    head, read = head_of(bytes(data))
    assert head.frames[0].pixels.start is None
    assert read <= 3 * PAGE


@pytest.mark.parametrize("padding", [0, 10_000])
def test_broken_headers_are_unreadable(dataset: pydicom.Dataset, padding: int) -> None:
    dataset.add_new((0x0009, 0x0010), "LO", "SPINENET TEST")
    dataset.add_new((0x0009, 0x1001), "OB", b"\0" * padding)
    data = bytes_of(dataset)
    # the file ends within the length of an element
    broken = data[: data.index(b"\xe0\x7f\x10\x00")] + struct.pack("<HH2sHH", 0x7FE0, 0x0001, b"OV", 0, 0)
    with pytest.raises(ScanError) as caught:
        head_of(broken)
    assert caught.value.reason == "unreadable"
