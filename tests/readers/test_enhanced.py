"""One file of many frames is the same scan as its classic form, and its claims are checked."""

from __future__ import annotations

import contextlib
import random
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from spinenet.errors import ScanError
from spinenet.readers.dicom.assembly import read_dicom
from spinenet.readers.dicom.headers import read_frame, read_frames
from spinenet.readers.series import read_scan
from spinenet.synthetic.dicom import COMPRESSIONS, can_compress
from spinenet.synthetic.enhanced import write_enhanced
from spinenet.types import Scan
from support.small_scans import assert_same, damaged_bytes, edit, make_scan, save, stored_as


def reason_of(path: Path) -> str:
    with pytest.raises(ScanError) as caught:
        read_scan(path)
    return caught.value.reason


@pytest.fixture
def enhanced(tmp_path: Path, series: list[Path]) -> Path:
    write_enhanced(tmp_path / "enhanced.dcm", series)
    return tmp_path / "enhanced.dcm"


def assert_same_but_fingerprint(read: Scan, wanted: Scan) -> None:
    assert_same(read, wanted)
    assert read.header == wanted.header
    assert read.flags == wanted.flags


@pytest.mark.parametrize("converted", [False, True])
@pytest.mark.parametrize("sequence", ["T1", "T2", "STIR"])
def test_enhanced_and_classic_are_one_scan(tmp_path: Path, sequence: str, converted: Any) -> None:
    scan = stored_as(make_scan(sequence=sequence, tilt_degrees=8), (1, 0, 2), (True, False, True))
    paths = save(tmp_path / "classic", scan, description="")
    write_enhanced(tmp_path / "enhanced", [paths[i] for i in (3, 0, 4, 1, 2)], converted=converted)
    classic, enhanced = read_scan(tmp_path / "classic"), read_scan(tmp_path / "enhanced")
    assert_same_but_fingerprint(enhanced, classic)
    assert enhanced.sequence == sequence
    assert enhanced.header["scanning_sequence"] == ("SE IR" if sequence == "STIR" else "SE")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
@pytest.mark.parametrize("compression", [None, *COMPRESSIONS])
def test_every_encoding_of_many_frames(tmp_path: Path, compression: str | None, dtype: Any) -> None:
    if compression and not can_compress(compression):
        pytest.skip(f"no encoder for {compression} is installed")
    # an odd number of bytes a frame
    paths = save(tmp_path / "classic", make_scan((65, 33, 4)), pixel_dtype=dtype)
    write_enhanced(tmp_path / "enhanced", paths, compression=compression)
    assert_same(read_scan(tmp_path / "enhanced"), read_scan(tmp_path / "classic"))


@pytest.mark.parametrize(("dtype", "word"), [("uint8", "OB"), ("uint8", "OW"), ("uint16", "OW")])
def test_big_endian_frames(tmp_path: Path, dtype: Any, word: str) -> None:
    scan = make_scan((5, 3, 4))
    scan.volume[:] %= 251
    path = tmp_path / "enhanced"
    write_enhanced(path, save(tmp_path / "classic", scan, pixel_dtype=dtype))
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRBigEndian
    if word == "OW":
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").byteswap().tobytes()
    dataset["PixelData"].VR = word
    pydicom.dcmwrite(path, dataset, implicit_vr=False, little_endian=False, force_encoding=True)
    assert_same(read_scan(path), scan)


def test_rescale_is_each_frames_own(tmp_path: Path, series: list[Path], scan: Scan) -> None:
    edit(series, lambda ds: setattr(ds, "RescaleSlope", ds.InstanceNumber))
    write_enhanced(tmp_path / "enhanced", series)
    np.testing.assert_array_equal(read_scan(tmp_path / "enhanced").volume, scan.volume * np.arange(1, 6))


def test_geometry_may_be_each_frames_own_and_timing_too(enhanced: Path, scan: Scan) -> None:
    def move(dataset: pydicom.Dataset) -> None:
        (shared,) = dataset.SharedFunctionalGroupsSequence
        for item in dataset.PerFrameFunctionalGroupsSequence:
            item.update(shared)
        dataset.SharedFunctionalGroupsSequence = []

    edit([enhanced], move)
    assert_same(read_scan(enhanced), scan)


@pytest.mark.parametrize("table", [True, False])
def test_frames_of_several_fragments_need_a_table(
    tmp_path: Path, series: list[Path], scan: Scan, table: bool
) -> None:
    path = tmp_path / "enhanced"
    write_enhanced(path, series, compression="rle")
    dataset = pydicom.dcmread(path)
    frames = list(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=5))
    dataset.PixelData = pydicom.encaps.encapsulate(frames, fragments_per_frame=2, has_bot=table)
    dataset.save_as(path)
    if table:
        assert_same(read_scan(path), scan)
    else:
        assert reason_of(path) == "bad_pixels"


def test_a_decoded_file_is_gone_through_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # 40 frames whose codestreams are copied once each, not the whole file for each
    path = tmp_path / "enhanced"
    write_enhanced(path, save(tmp_path / "classic", make_scan((8, 8, 40))), compression="rle")
    parsed: list[object] = []
    original = pydicom.dcmread

    def counting(file: Any, **options: Any) -> pydicom.FileDataset:
        parsed.append(file)
        return original(file, **options)

    monkeypatch.setattr(pydicom, "dcmread", counting)
    read_scan(path)
    assert len(parsed) == 1


@pytest.mark.parametrize("count", [4, 6, 10**6, 2**31 - 1])
@pytest.mark.parametrize("compression", [None, "rle"])
def test_another_number_of_frames_than_is_described(
    tmp_path: Path, series: list[Path], count: int, compression: str | None
) -> None:
    path = tmp_path / "enhanced"
    write_enhanced(path, series, compression=compression)
    edit([path], lambda ds: setattr(ds, "NumberOfFrames", count))
    assert reason_of(path) == "bad_pixels"


@pytest.mark.parametrize("compression", [None, "rle"])
def test_more_frames_described_than_the_file_holds(
    tmp_path: Path, series: list[Path], compression: str | None
) -> None:
    path = tmp_path / "enhanced"
    write_enhanced(path, series, compression=compression)

    def claim(dataset: pydicom.Dataset) -> None:
        dataset.PerFrameFunctionalGroupsSequence.extend([pydicom.Dataset() for _ in range(3)])
        for place, item in enumerate(dataset.PerFrameFunctionalGroupsSequence):
            item.PlanePositionSequence = [pydicom.Dataset()]
            item.PlanePositionSequence[0].ImagePositionPatient = [place, 0, 0]
        dataset.NumberOfFrames = 8

    edit([path], claim)
    assert reason_of(path) == "bad_pixels"
    data = path.read_bytes()
    path.write_bytes(data[:-900])
    assert reason_of(path) == "bad_pixels"


def test_frames_that_share_positions(tmp_path: Path, series: list[Path], scan: Scan) -> None:
    path = tmp_path / "enhanced"
    write_enhanced(path, [*series, *series])
    read = read_scan(path)
    assert_same(read, scan)
    assert read.flags == ("duplicate_files",)

    def differ(dataset: pydicom.Dataset) -> None:
        dataset.PixelData = dataset.PixelData[:-2] + b"\1\1"

    edit([path], differ)
    assert reason_of(path) == "duplicate_positions"


def item(**tags: Any) -> list[pydicom.Dataset]:
    made = pydicom.Dataset()
    for keyword, value in tags.items():
        setattr(made, keyword, value)
    return [made]


def echo(second: bool, group: pydicom.Dataset) -> None:
    group.MREchoSequence = item(EffectiveEchoTime=94 if second else 9.4)


def time_point(second: bool, group: pydicom.Dataset) -> None:
    group.FrameContentSequence = item(TemporalPositionIndex=2 if second else 1)


def dixon(second: bool, group: pydicom.Dataset) -> None:
    kind = "FAT" if second else "WATER"
    group.MRImageFrameTypeSequence = item(FrameType=["DERIVED", "PRIMARY", "DIXON", kind])


@pytest.mark.parametrize(
    ("told", "reason", "label"),
    [
        (echo, "several_echoes", "echo_time=94"),
        (time_point, "several_times", "temporal_position=2"),
        (dixon, "several_image_types", "image_type=fat"),
    ],
)
def test_several_images_of_each_place(
    tmp_path: Path, told: Callable[[bool, pydicom.Dataset], None], reason: str, label: str
) -> None:
    first, second = (make_scan(seed=seed) for seed in (1, 2))
    path = tmp_path / "enhanced"
    write_enhanced(path, [*save(tmp_path / "a", first), *save(tmp_path / "b", second)])

    def tell(dataset: pydicom.Dataset) -> None:
        for index, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
            told(index >= 5, group)

    edit([path], tell)
    assert reason_of(path) == reason
    uid = pydicom.dcmread(path, specific_tags=["SeriesInstanceUID"]).SeriesInstanceUID
    assert_same(read_scan(path, series_uid=f"{uid}#{label}"), second)


def test_many_frames_without_geometry(series: list[Path], tmp_path: Path) -> None:
    def pile(dataset: pydicom.Dataset) -> None:
        dataset.NumberOfFrames, dataset.PixelData = 3, dataset.PixelData * 3

    path = tmp_path / "enhanced"
    write_enhanced(path, series)
    edit(series[:1], pile)
    assert reason_of(series[0]) == "unsupported_image"

    def forget(dataset: pydicom.Dataset) -> None:
        for item in dataset.PerFrameFunctionalGroupsSequence:
            del item.PlanePositionSequence

    edit([path], forget)
    assert reason_of(path) == "missing_tags"
    read = read_scan(path, overrides={"SliceThickness": "4.4"})
    assert "side_assumed" in read.flags
    assert read.shape == (20, 16, 5)


def test_a_header_alone_is_enough(enhanced: Path) -> None:
    data = enhanced.read_bytes()
    whole = read_frames("a", data)
    assert [frame.pixels.index for frame in whole] == [0, 1, 2, 3, 4]
    assert read_frame("a", data) == whole[0]
    start = whole[0].pixels.start
    assert start is not None
    first = read_frames("a", data[: start + 12])
    assert [replace(frame, digest="") for frame in first] == [replace(frame, digest="") for frame in whole]
    assert all(frame.pixels.start is None for frame in read_frames("a", data[:start]))
    assert read_frames("a", b"no DICOM") == ()
    for end in range(140, start, 7):
        try:
            assert all(frame.pixels.start is None for frame in read_frames("a", data[:end]))
        except ScanError as error:
            assert error.reason == "unreadable"  # noqa: PT017 - both ends are right


def test_a_series_that_is_there_in_both_forms(enhanced: Path, series: list[Path], scan: Scan) -> None:
    enhanced.rename(series[0].parent / "enhanced.dcm")
    read = read_scan(series[0].parent)
    assert_same(read, scan)
    assert read.flags == ("duplicate_files",)


@pytest.mark.parametrize("compression", [None, "rle"])
def test_claims_allocate_nothing(tmp_path: Path, series: list[Path], compression: str | None) -> None:
    path = tmp_path / "enhanced"
    write_enhanced(path, series, compression=compression)

    def claims(dataset: pydicom.Dataset) -> None:
        dataset.Rows, dataset.Columns = 2000, 3000

    edit([path], claims)
    tracemalloc.start()
    try:
        assert reason_of(path) == "bad_pixels"
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("compression", [None, "rle", "jpeg2000"])
def test_damaged_files_end_as_a_scan_or_a_reason(tmp_path: Path, compression: str | None) -> None:
    path = tmp_path / "enhanced"
    write_enhanced(path, save(tmp_path / "classic", make_scan((40, 36, 3))), compression=compression)
    whole = path.read_bytes()
    start = read_frames("a", whole)[0].pixels.start
    assert start is not None
    dice = random.Random(11)
    for _ in range(150):
        # anything but a ScanError fails the test
        with contextlib.suppress(ScanError):
            read_dicom({"a": damaged_bytes(whole, dice, start + 200)})


def test_no_text_of_a_functional_group_gets_out(enhanced: Path, scan: Scan) -> None:
    secret = "Kanarienvogel"

    def plant(dataset: pydicom.Dataset) -> None:
        dataset.PatientName = dataset.SeriesDescription = dataset.ImageComments = secret
        for item in (dataset.SharedFunctionalGroupsSequence[0], *dataset.PerFrameFunctionalGroupsSequence):
            item.FrameAnatomySequence = [pydicom.Dataset()]
            item.FrameAnatomySequence[0].AdditionalPatientHistory = secret
            item.UnassignedSharedConvertedAttributesSequence = [pydicom.Dataset()]
            (converted,) = item.UnassignedSharedConvertedAttributesSequence
            converted.ScanningSequence, converted.PatientID = secret.upper(), secret

    edit([enhanced], plant)
    read = read_scan(enhanced)
    assert_same(read, scan)
    assert secret.lower() not in repr((read.header, read.flags)).lower()
