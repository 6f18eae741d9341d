"""Every way in which a path can be unusable ends in its own reason, in one sentence without identity."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import nibabel
import numpy as np
import pydicom
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from spinenet.anatomy import REASONS
from spinenet.errors import ScanError
from spinenet.index.preview import preview
from spinenet.readers.series import read_scan
from spinenet.readers.sources import limits as limits_module
from spinenet.synthetic.dicom import uid_from
from spinenet.types import Scan
from support.small_scans import SERIES, assert_same, edit, make_scan, save, stored_as


def reason_of(path: str | Path, **options: Any) -> str:
    with pytest.raises(ScanError) as caught:
        read_scan(str(path), **options)
    assert caught.value.reason in REASONS
    assert caught.value.detail.count("\n") == 0
    assert str(path) not in str(caught.value)
    return caught.value.reason


def setting(**values: Any) -> Callable[[pydicom.Dataset], None]:
    def change(dataset: pydicom.Dataset) -> None:
        for keyword, value in values.items():
            setattr(dataset, keyword, value)

    return change


def deleting(*keywords: str) -> Callable[[pydicom.Dataset], None]:
    def change(dataset: pydicom.Dataset) -> None:
        for keyword in keywords:
            del dataset[keyword]

    return change


def axial(dataset: pydicom.Dataset) -> None:
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = [0, 0, 5 * int(dataset.InstanceNumber)]


def colour(dataset: pydicom.Dataset) -> None:
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "RGB"
    dataset.PlanarConfiguration = 0
    dataset.PixelData = dataset.PixelData * 3


def truncated(dataset: pydicom.Dataset) -> None:
    dataset.PixelData = dataset.PixelData[:100]


def mpeg(dataset: pydicom.Dataset) -> None:
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.MPEG2MPML
    dataset.PixelData = pydicom.encaps.encapsulate([dataset.PixelData])
    dataset["PixelData"].is_undefined_length = True


CHANGES_OF_ALL = {
    "not_mr": setting(Modality="CT"),
    "no_pixels": deleting("PixelData"),
    "bad_pixels": truncated,
    "unsupported_syntax": mpeg,
    "colour": colour,
    "unsupported_image": setting(PhotometricInterpretation="GREY"),
    "missing_tags": deleting("PixelSpacing"),
    "not_sagittal": axial,
    "duplicate_positions": setting(ImagePositionPatient=[1, 2, 3]),
}


@pytest.mark.parametrize("reason", CHANGES_OF_ALL)
def test_reason_when_every_file_is_changed(series: list[Path], reason: str) -> None:
    edit(series, CHANGES_OF_ALL[reason])
    assert reason_of(series[0].parent) == reason


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("bad_pixels", truncated),
        ("missing_tags", deleting("ImageOrientationPatient")),
        ("missing_tags", deleting("ImagePositionPatient")),
        ("missing_tags", setting(PixelSpacing=[0, 0])),
        ("missing_tags", setting(ImageOrientationPatient=[0, 1, 0, 0, 1, 0])),
        ("mixed_geometry", setting(PixelSpacing=[1, 1])),
        ("mixed_geometry", setting(ImageOrientationPatient=[0.1, 0.99499, 0, 0, 0, -1])),
        ("localizer", setting(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])),
        ("unsupported_image", setting(NumberOfFrames=3)),
        ("no_pixels", setting(PixelData=b"")),
        ("no_pixels", deleting("Rows")),
        ("bad_pixels", setting(Rows=0)),
        ("not_mr", setting(Modality="CT")),
    ],
)
def test_reason_when_one_file_is_changed(series: list[Path], reason: str, change: Callable[..., Any]) -> None:
    edit(series[2:3], change)
    assert reason_of(series[0].parent) == reason


@pytest.mark.parametrize(
    "change",
    [setting(BitsAllocated=12), setting(BitsStored=0), setting(HighBit=3), deleting("BitsAllocated")],
)
def test_impossible_pixel_formats(series: list[Path], change: Callable[..., Any]) -> None:
    edit(series, change)
    assert reason_of(series[0].parent) == "unsupported_image"


def test_values_that_are_not_numbers_count_as_missing(series: list[Path]) -> None:
    for path in series:
        path.write_bytes(path.read_bytes().replace(b"0.7\\0.6 ", b"x.y\\abc "))
    assert reason_of(series[0].parent) == "missing_tags"


def test_slices_that_are_gone_or_too_few(series: list[Path]) -> None:
    series[2].unlink()
    assert reason_of(series[0].parent) == "missing_slices"
    series[3].unlink()
    series[4].unlink()
    assert reason_of(series[0].parent) == "too_few_slices"


def test_slices_off_the_line_are_mixed_geometry(series: list[Path]) -> None:
    edit(series[2:3], lambda ds: setattr(ds, "ImagePositionPatient", [ds.ImagePositionPatient[0], -90, 200]))
    assert reason_of(series[0].parent) == "mixed_geometry"


def test_a_straight_shear_is_undone(series: list[Path], scan: Scan) -> None:
    edit(series, lambda ds: setattr(ds, "ImagePositionPatient", [
        ds.ImagePositionPatient[0], ds.ImagePositionPatient[1] + 0.5 * ds.InstanceNumber, 200]))  # fmt: skip
    read = read_scan(str(series[0].parent))
    assert read.flags == ("sheared",)
    assert read.slice_spacing == pytest.approx(4.4)
    np.testing.assert_allclose(read.affine[:3, 2], [4.4, 0, 0], atol=1e-6)
    # the third of five slices stays where it was, half a millimetre further for each of three numbers
    np.testing.assert_allclose(read.affine[:3, 3] - scan.affine[:3, 3], [0, 1.5, 0], atol=1e-6)
    np.testing.assert_array_equal(read.volume[:, :, 2], scan.volume[:, :, 2])


def test_header_that_claims_more_than_the_file_holds(series: list[Path]) -> None:
    edit(series, setting(Rows=65535, Columns=65535))
    assert reason_of(series[0].parent) == "too_large"
    edit(series, setting(Rows=2000, Columns=2000))
    assert reason_of(series[0].parent) == "bad_pixels"


def test_file_cut_off_in_its_pixels_or_before(series: list[Path]) -> None:
    data = series[2].read_bytes()
    series[2].write_bytes(data[: len(data) - 50])
    assert reason_of(series[0].parent) == "bad_pixels"
    series[2].write_bytes(data[: len(data) - 20 * 16 * 2 - 3])
    assert reason_of(series[0].parent) == "missing_slices"


@pytest.mark.parametrize("compression", ["rle", "jpeg2000"])
def test_damaged_compressed_pixels(tmp_path: Path, compression: str | None) -> None:
    paths = save(tmp_path, make_scan((64, 48, 3)), compression=compression)
    data = paths[1].read_bytes()
    paths[1].write_bytes(data[:-600])
    assert reason_of(tmp_path) == "bad_pixels"


def test_codestream_that_claims_another_size_is_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = save(tmp_path, make_scan((64, 48, 3)), compression="jpeg2000")
    data = paths[1].read_bytes()
    at = data.index(b"\xff\x4f\xff\x51")
    paths[1].write_bytes(data[: at + 8] + struct.pack(">2I", 60000, 60000) + data[at + 16 :])
    assert reason_of(tmp_path) == "bad_pixels"


def test_unreadable_alone_and_ignored_beside_good_ones(
    tmp_path: Path, series: list[Path], scan: Scan
) -> None:
    broken = b"\0" * 128 + b"DICM" + b"\x02\0\0\0UL\x04\0" + b"\xff" * 3
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.dcm").write_bytes(broken)
    assert reason_of(tmp_path / "broken") in ("unreadable", "not_dicom")
    (series[0].parent / "broken.dcm").write_bytes(broken)
    assert_same(read_scan(str(series[0].parent)), scan)


def test_paths(tmp_path: Path, series: list[Path]) -> None:
    assert reason_of(tmp_path / "nowhere") == "path_missing"
    assert reason_of(tmp_path / "nowhere.dcm") == "path_missing"
    assert reason_of(series[0] / "below") == "path_missing"
    assert reason_of(tmp_path / "no*thing") == "path_missing"
    (tmp_path / "empty" / "deep").mkdir(parents=True)
    assert reason_of(tmp_path / "empty") == "no_files"
    (tmp_path / "empty" / "deep" / "a.txt").write_text("a text")
    assert reason_of(tmp_path / "empty") == "not_dicom"
    assert reason_of(series[0]) == "too_few_slices"
    assert reason_of("nosuch://bucket/x") == "unreadable"


class Refusing(MemoryFileSystem):  # type: ignore[misc]
    protocol = "refusing"

    def find(self, path: str, **options: Any) -> None:
        raise PermissionError("the secret name of a folder")

    info = ls = find


class Failing(Refusing):
    protocol = "failing"

    def find(self, path: str, **options: Any) -> None:
        raise OSError("the secret name of a folder")

    info = ls = find


def test_refused_and_failing_storage() -> None:
    fsspec.register_implementation("refusing", Refusing, clobber=True)
    fsspec.register_implementation("failing", Failing, clobber=True)
    assert reason_of("refusing://a/b") == "permission_denied"
    assert reason_of("failing://a/b.zip") == "storage_failed"


def test_several_series_lists_the_candidates(tmp_path: Path, scan: Scan) -> None:
    other = uid_from("other")
    save(tmp_path / "a", scan, description="t2_tse_sag Mustermann")
    save(tmp_path / "b", make_scan(sequence="T1"), series_uid=other, description="t1")
    with pytest.raises(ScanError) as caught:
        read_scan(str(tmp_path))
    assert caught.value.reason == "several_series"
    assert f"T2 t2 tse sag 5 slices, UID {SERIES}" in caught.value.detail
    assert other in caught.value.detail
    assert "Mustermann" not in caught.value.detail
    assert reason_of(tmp_path, series_uid="1.2.3") == "series_missing"


def test_when_no_series_is_usable_the_largest_speaks(tmp_path: Path, scan: Scan) -> None:
    edit(save(tmp_path / "a", scan), setting(Modality="CT"))
    save(tmp_path / "b", make_scan((8, 8, 2)), series_uid=uid_from("short"))
    with pytest.raises(ScanError, match="none of 2 series is usable: not_mr 1, too_few_slices 1") as caught:
        read_scan(str(tmp_path))
    assert caught.value.reason == "not_mr"


@pytest.mark.parametrize(("angle", "usable"), [(29.5, True), (30.5, False), (-29.5, True), (90, False)])
def test_accepted_obliquity(tmp_path: Path, angle: float, usable: bool) -> None:
    scan = make_scan(tilt_degrees=angle)
    save(tmp_path, scan)
    if usable:
        assert_same(read_scan(str(tmp_path)), scan)
    else:
        assert reason_of(tmp_path) == "not_sagittal"


def test_coronal_is_not_sagittal(tmp_path: Path, scan: Scan) -> None:
    # rows down, columns to the left, slices to the back
    scan.affine[:2, :3] = scan.affine[[1, 0], :3]
    save(tmp_path, scan)
    assert reason_of(tmp_path) == "not_sagittal"


def test_too_large(series: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = series[0].parent
    with monkeypatch.context() as patch:
        patch.setattr(limits_module, "MAX_FILES", 4)
        assert reason_of(folder) == "too_large"
    with monkeypatch.context() as patch:
        patch.setattr(limits_module, "MAX_BYTES", 1000)
        assert reason_of(folder) == "too_large"
    monkeypatch.setattr(limits_module, "MAX_VOXELS", 1000)
    assert reason_of(folder) == "too_large"


@pytest.mark.parametrize(
    ("shape", "spacing", "gap", "reason", "said"),
    [
        ((20, 3100, 3), (1.0, 1.0), 4.0, "too_large", "a slice would be 3.1 m long; the most is 3 m"),
        ((3100, 20, 3), (1.0, 1.0), 4.0, "too_large", "a slice would be 3.1 m long; the most is 3 m"),
        ((20, 2900, 3), (1.0, 1.0), 4.0, "", ""),
        ((20, 16, 21), (1.0, 1.0), 50.0, "too_large", "the slices together would be 1.05 m long"),
        ((20, 16, 3), (0.011, 90.0), 4.0, "missing_tags", "a pixel is 0.011 by 90 mm"),
        ((20, 16, 3), (0.1, 2.1), 4.0, "missing_tags", "one edge is at most 20 times the other"),
        ((20, 16, 3), (1.9, 0.1), 4.0, "", ""),
    ],
)
@pytest.mark.parametrize("stored", ["DICOM", "NIfTI"])
def test_field_that_no_person_fills(
    tmp_path: Path,
    shape: tuple[int, int, int],
    spacing: tuple[float, float],
    gap: float,
    reason: str,
    said: str,
    stored: Any,
) -> None:
    affine = np.array([[0, 0, gap, 0], [0, spacing[1], 0, 0], [-spacing[0], 0, 0, 0], [0, 0, 0, 1.0]])
    path = tmp_path
    if stored == "DICOM":
        save(tmp_path, Scan(np.zeros(shape, np.float32), spacing, gap, affine, "T2"))
    else:
        path = tmp_path / "image.nii.gz"
        nibabel.Nifti1Image(np.zeros(shape, np.int16), np.diag([-1, -1, 1, 1]) @ affine).to_filename(path)
        if max(spacing) > 1.5 * gap:
            reason, said = "not_sagittal", "longest within the sagittal plane"
    if not reason:
        assert read_scan(str(path)).shape == preview(str(path)).shape == shape
        return
    for look in (read_scan, preview):
        with pytest.raises(ScanError, match=said) as refused:
            look(str(path))
        assert refused.value.reason == reason


def zipped(tmp_path: Path, members: Any) -> Path:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return tmp_path / "a.zip"


def test_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, series: list[Path]) -> None:
    good = {path.name: path.read_bytes() for path in series}
    assert reason_of(zipped(tmp_path, good | {"../../etc/x": b"x"})) == "unsafe_archive"
    assert reason_of(zipped(tmp_path, good | {"/etc/x": b"x"})) == "unsafe_archive"
    assert reason_of(zipped(tmp_path, {"a.txt": b"x"})) == "not_dicom"
    assert reason_of(zipped(tmp_path, {})) in ("no_files", "not_dicom")
    path = zipped(tmp_path, good)
    path.write_bytes(path.read_bytes()[:-60])
    assert reason_of(path) == "unreadable"
    data = bytearray(zipped(tmp_path, good).read_bytes())
    data[300:330] = b"\xff" * 30
    path.write_bytes(data)
    assert reason_of(path) == "unreadable"
    monkeypatch.setattr(limits_module, "MAX_BYTES", 100_000)
    assert reason_of(zipped(tmp_path, {"bomb": b"\0" * 1_000_000})) == "too_large"


def test_member_that_lies_about_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path, {"bomb": b"\0" * 1_000_000})
    data = path.read_bytes().replace(struct.pack("<I", 1_000_000), struct.pack("<I", 10))
    path.write_bytes(data)
    assert reason_of(path) == "unreadable"


def test_deflated_bomb(series: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    data = series[0].read_bytes()
    end = 144 + struct.unpack("<I", data[140:144])[0]
    meta = pydicom.dcmread(io.BytesIO(data)).file_meta
    meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    head = pydicom.filebase.DicomBytesIO()
    pydicom.filewriter.write_file_meta_info(head, meta)
    squeezer = zlib.compressobj(wbits=-15)
    body = squeezer.compress(data[end:] + b"\0" * 2_000_000) + squeezer.flush()
    series[0].write_bytes(data[:132] + head.getvalue() + body)
    monkeypatch.setattr(limits_module, "MAX_BYTES", 1_000_000)
    assert reason_of(series[0].parent) == "too_large"


def test_overrides_supply_tags(tmp_path: Path, scan: Scan) -> None:
    paths = save(tmp_path, stored_as(scan, (1, 0, 2), (True, False, True)))
    edit(paths, deleting("PixelSpacing", "ImageOrientationPatient"))
    assert reason_of(tmp_path) == "missing_tags"
    overrides = {"PixelSpacing": "[0.6, 0.7]", "ImageOrientationPatient": "0\\0\\-1\\0\\-1\\0"}
    read = read_scan(str(tmp_path), overrides=overrides)
    assert_same(read, scan)
    assert read.flags == ("overridden",)
    assert reason_of(tmp_path, overrides={"PixelSpacing": "wide"}) == "missing_tags"
    with pytest.raises(ValueError, match="PatientName"):
        read_scan(str(tmp_path), overrides={"PatientName": "x"})


def test_slices_without_position_need_a_thickness_from_the_user(series: list[Path], scan: Scan) -> None:
    edit(series, deleting("ImagePositionPatient"))
    assert reason_of(series[0].parent) == "missing_tags"
    read = read_scan(str(series[0].parent), overrides={"SliceThickness": "4.4"})
    assert "side_assumed" in read.flags
    assert read.slice_spacing == pytest.approx(4.4)
    assert read.shape == scan.shape


def mosaic_count(
    value: object, creator: str = "SIEMENS MR HEADER", vr: str = "US"
) -> Callable[[pydicom.Dataset], None]:
    def change(dataset: pydicom.Dataset) -> None:
        dataset.add_new(0x00190010, "LO", creator)
        dataset.add_new(0x0019100A, vr, value)

    return change


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("mosaic", setting(ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"])),
        ("mosaic", mosaic_count(25)),
        ("mosaic", mosaic_count(struct.pack("<H", 25), vr="UN")),
        ("not_image", setting(SOPClassUID=pydicom.uid.GrayscaleSoftcopyPresentationStateStorage)),
        ("not_image", setting(SOPClassUID=pydicom.uid.RawDataStorage)),
        ("not_image", setting(SOPClassUID=pydicom.uid.MRSpectroscopyStorage)),
        ("colour", setting(PhotometricInterpretation="PALETTE COLOR")),
    ],
)
def test_other_kinds_of_objects(series: list[Path], reason: str, change: Callable[..., Any]) -> None:
    edit(series, change)
    assert reason_of(series[0].parent) == reason


@pytest.mark.parametrize(
    "change",
    [
        mosaic_count(1),
        mosaic_count(25, creator="ACME 1.1"),
        mosaic_count(b"", vr="UN"),
        setting(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
    ],
)
def test_what_is_no_mosaic_and_no_localizer(
    series: list[Path], scan: Scan, change: Callable[..., Any]
) -> None:
    edit(series, change)
    read = read_scan(series[0].parent)
    assert_same(read, scan)
    assert read.flags == ()


def test_objects_within_a_series_are_passed_over(series: list[Path], scan: Scan, tmp_path: Path) -> None:
    edit(series[:1], setting(SOPClassUID=pydicom.uid.KeyObjectSelectionDocumentStorage, Modality="KO"))
    series[0].rename(tmp_path / "ko.dcm")
    save(series[0].parent, scan)
    (tmp_path / "ko.dcm").rename(series[0].parent / "ko.dcm")
    read = read_scan(series[0].parent)
    assert_same(read, scan)
    assert read.flags == ("objects_ignored",)


def test_three_planes_in_one_series(series: list[Path]) -> None:
    planes = ([0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0, -1], [1, 0, 0, 0, 1, 0])
    edit(series, lambda ds: setattr(ds, "ImageOrientationPatient", planes[ds.InstanceNumber % 3]))
    assert reason_of(series[0].parent) == "localizer"


def test_a_marked_localizer_needs_less_of_an_angle(series: list[Path]) -> None:
    edit(series[1:2], setting(ImageOrientationPatient=[0.259, 0.966, 0, 0, 0, -1]))
    assert reason_of(series[0].parent) == "mixed_geometry"
    edit(series, setting(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]))
    assert reason_of(series[0].parent) == "localizer"


@pytest.mark.parametrize("tag", [0x00091001, 0x00081140, 0x52009230])
def test_deeply_nested_sequences_end_in_a_reason(series: list[Path], tag: Any) -> None:
    depth = 50_000
    item = struct.pack("<2HI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    begin = struct.pack("<2H2sHI", tag >> 16, tag & 0xFFFF, b"SQ", 0, 0xFFFFFFFF) + item
    for path in series:
        data = path.read_bytes()
        at = 144 + struct.unpack_from("<I", data, 140)[0]
        path.write_bytes(data[:at] + begin * depth)
    assert reason_of(series[0].parent) == "unreadable"


def test_deeply_nested_sequences_of_known_length_are_not_entered(series: list[Path], scan: Scan) -> None:
    value = b""
    for _ in range(3000):
        item = struct.pack("<2HI", 0xFFFE, 0xE000, len(value)) + value
        value = struct.pack("<2H2sHI", 0x0009, 0x1001, b"SQ", 0, len(item)) + item
    for path in series:
        data = path.read_bytes()
        at = data.index(struct.pack("<2H2s", 0x0010, 0x0010, b"PN"))
        path.write_bytes(data[:at] + value + data[at:])
    assert_same(read_scan(series[0].parent), scan)
