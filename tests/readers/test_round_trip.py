"""What write_series writes, read_scan gives back, in whatever order, encoding and container it lies."""

from __future__ import annotations

import itertools
import random
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spinenet.readers.series import read_scan
from spinenet.synthetic.dicom import COMPRESSIONS, can_compress, uid_from
from spinenet.types import Scan
from support.small_scans import SERIES, assert_same, edit, make_scan, save, stored_as

ORDERS = [(0, 1, 2), (1, 0, 2)]
FLIPS = list(itertools.product((False, True), repeat=3))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("flips", FLIPS)
def test_every_storage_order_gives_the_same_scan(
    tmp_path: Path, scan: Scan, order: tuple[int, int, int], flips: tuple[bool, bool, bool]
) -> None:
    save(tmp_path, stored_as(scan, order, flips))
    read = read_scan(str(tmp_path))
    assert_same(read, scan)
    assert read.flags == ()


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(4, 24), st.integers(4, 24), st.integers(3, 9)),
    order=st.sampled_from(ORDERS),
    flips=st.sampled_from(FLIPS),
    tilt=st.floats(-29, 29),
    seed=st.integers(0, 99),
    compression=st.sampled_from([None, "rle"]),
    dtype=st.sampled_from(["uint16", "int16"]),
)
def test_shuffled_oblique_series_come_back_exactly(
    shape: tuple[int, int, int],
    order: tuple[int, int, int],
    flips: tuple[bool, bool, bool],
    tilt: float,
    seed: int,
    compression: str | None,
    dtype: Any,
) -> None:
    scan = make_scan(shape, tilt_degrees=tilt, seed=seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = save(folder, stored_as(scan, order, flips), compression=compression, pixel_dtype=dtype)
        places = list(range(len(paths)))
        random.Random(seed).shuffle(places)
        for path, place in zip(paths, places, strict=True):
            path.rename(folder / f"{place:03d}")
        read = read_scan(name)
    assert_same(read, scan)
    # at ten degrees exactly, the decimals of the tags decide
    if abs(abs(tilt) - 10) > 1e-6:
        assert ("oblique" in read.flags) == (abs(tilt) > 10)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_lossless_encodings_are_bit_for_bit(tmp_path: Path, compression: str, dtype: str) -> None:
    scan = make_scan((64, 48, 4))
    if not can_compress(compression):
        pytest.skip(f"no encoder for {compression} is installed")
    save(tmp_path / "plain", scan, pixel_dtype=dtype)
    paths = save(tmp_path / "compressed", scan, compression=compression, pixel_dtype=dtype)
    assert pydicom.dcmread(paths[0]).file_meta.TransferSyntaxUID == COMPRESSIONS[compression]
    plain, compressed = read_scan(str(tmp_path / "plain")), read_scan(str(tmp_path / "compressed"))
    np.testing.assert_array_equal(compressed.volume, plain.volume)
    assert compressed.flags == ()


@pytest.mark.parametrize(
    "syntax",
    ["ImplicitVRLittleEndian", "ExplicitVRBigEndian", "DeflatedExplicitVRLittleEndian"],
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_uncompressed_syntaxes(tmp_path: Path, syntax: str, dtype: Any) -> None:
    scan = make_scan((5, 3, 4))
    scan.volume[:] %= 251
    uid = getattr(pydicom.uid, syntax)
    for path in save(tmp_path, scan, pixel_dtype=dtype):
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = uid
        big = not uid.is_little_endian
        if big:
            pixels = np.frombuffer(dataset.PixelData, "<u2" if dtype == "uint16" else "u1")
            dataset.PixelData = pixels.astype(">u2").tobytes() if dtype == "uint16" else pixels.tobytes()
        pydicom.dcmwrite(
            path, dataset, implicit_vr=uid.is_implicit_VR, little_endian=not big, force_encoding=big
        )
    assert_same(read_scan(str(tmp_path)), scan)


def test_big_endian_words_of_bytes_are_turned(tmp_path: Path) -> None:
    scan = make_scan((5, 3, 4))
    scan.volume[:] %= 251
    for path in save(tmp_path, scan, pixel_dtype="uint8"):
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRBigEndian
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").byteswap().tobytes()
        dataset["PixelData"].VR = "OW"
        pydicom.dcmwrite(path, dataset, implicit_vr=False, little_endian=False, force_encoding=True)
    assert_same(read_scan(str(tmp_path)), scan)


def test_float_volumes_keep_16_bits(tmp_path: Path, scan: Scan) -> None:
    volume = np.random.default_rng(1).normal(size=scan.shape).astype(np.float32)
    written = type(scan)(volume, scan.pixel_spacing, scan.slice_spacing, scan.affine, "T1")
    save(tmp_path, written)
    np.testing.assert_allclose(read_scan(str(tmp_path)).volume, volume, atol=float(np.ptp(volume)) / 65535)


@pytest.mark.parametrize("sequence", ["T1", "T2", "STIR"])
def test_sequence_comes_from_the_timing(tmp_path: Path, sequence: str) -> None:
    save(tmp_path, make_scan(sequence=sequence), description="")
    assert read_scan(str(tmp_path)).sequence == sequence


def test_zip_folder_glob_and_memory_give_the_same_scan(
    tmp_path: Path, scan: Scan, series: list[Path]
) -> None:
    from_folder = read_scan(series[0].parent)
    with zipfile.ZipFile(tmp_path / "visit.zip", "w") as archive:
        for path in series:
            archive.write(path, f"a/{path.name}")
    memory = fsspec.filesystem("memory")
    for path in series:
        memory.pipe_file(f"/bucket/deep/er/{path.name}", path.read_bytes())
    memory.pipe_file("/bucket2/visit", (tmp_path / "visit.zip").read_bytes())
    places = [
        tmp_path / "visit.zip",
        f"{tmp_path}/ser*/IM*.dcm",
        f"{tmp_path}/ser*",
        "memory://bucket",
        "memory://bucket/deep/**/IM*",
        "memory://bucket2/visit",
    ]
    try:
        for place in places:
            read = read_scan(str(place))
            assert_same(read, scan)
            assert read.fingerprint == from_folder.fingerprint
    finally:
        memory.rm("/bucket", recursive=True)
        memory.rm("/bucket2", recursive=True)


def test_one_fetch_reads_a_series(series: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    original = fsspec.implementations.local.LocalFileSystem.cat

    def counting(fs: Any, paths: list[str], **options: Any) -> Any:
        calls.append(len(paths))
        return original(fs, paths, **options)

    monkeypatch.setattr(fsspec.implementations.local.LocalFileSystem, "cat", counting)
    read_scan(str(series[0].parent))
    assert calls == [len(series)]


def test_names_that_look_like_globs_are_read(tmp_path: Path, scan: Scan) -> None:
    folder = tmp_path / "a[1]"
    for path in save(folder, scan):
        path.rename(folder / f"{path.stem}[0].dcm")
    assert_same(read_scan(str(folder)), scan)


def test_fingerprint_is_of_the_bytes_not_of_names_or_strangers(series: list[Path], tmp_path: Path) -> None:
    first = read_scan(str(series[0].parent)).fingerprint
    for path in series:
        path.rename(path.with_name(f"x{path.name}"))
    (series[0].parent / "notes.txt").write_text("a note")
    again = read_scan(str(series[0].parent))
    assert again.fingerprint == first
    assert again.flags == ("files_ignored",)
    edit([next(series[0].parent.glob("x*"))], lambda ds: setattr(ds, "EchoTime", 99))
    assert read_scan(str(series[0].parent)).fingerprint != first


def test_second_copies_are_read_once(series: list[Path], scan: Scan) -> None:
    shutil.copytree(series[0].parent, series[0].parent / "copy")
    read = read_scan(str(series[0].parent))
    assert_same(read, scan)
    assert read.flags == ("duplicate_files",)


def test_the_named_or_the_only_usable_series_is_taken(tmp_path: Path, scan: Scan) -> None:
    other, axial = make_scan(seed=5, sequence="T1"), make_scan(seed=6)
    axial.affine[:3, :3] = axial.affine[[2, 1, 0], :3]
    save(tmp_path / "a", scan)
    save(tmp_path / "b", axial, series_uid=uid_from("axial"))
    read = read_scan(str(tmp_path))
    assert_same(read, scan)
    assert read.flags == ("series_ignored",)
    save(tmp_path / "c", other, series_uid=uid_from("other"))
    assert_same(read_scan(str(tmp_path), series_uid=SERIES), scan)
    assert_same(read_scan(str(tmp_path), series_uid=uid_from("other")), other)


def test_equal_seeds_write_equal_files(tmp_path: Path, scan: Scan) -> None:
    for first, second in zip(save(tmp_path / "a", scan), save(tmp_path / "b", scan), strict=True):
        assert first.read_bytes() == second.read_bytes()


def test_written_files_hold_the_required_attributes(series: list[Path]) -> None:
    dataset = pydicom.dcmread(series[1])
    assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        assert pydicom.uid.UID(dataset[keyword].value).is_valid
    assert dataset.InstanceNumber == 2
    assert dataset.ImagePositionPatient[0] == pytest.approx(-25.6)
    assert dataset.SpacingBetweenSlices == pytest.approx(4.4)
    assert len({pydicom.dcmread(path).SOPInstanceUID for path in series}) == len(series)


def test_writer_refuses_what_it_cannot_write(tmp_path: Path, scan: Scan) -> None:
    with pytest.raises(ValueError, match="compression"):
        save(tmp_path, scan, compression="mp3")
    with pytest.raises(ValueError, match="pixel_dtype"):
        save(tmp_path, scan, pixel_dtype="float32")
    with pytest.raises(ValueError, match="affine"):
        save(tmp_path, type(scan)(scan.volume, (9.0, 9.0), 1.0, scan.affine))
