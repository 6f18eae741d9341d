"""The same image as MetaImage is the same scan; a header's claims are checked before the library reads."""

from __future__ import annotations

import itertools
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spinenet.errors import ScanError
from spinenet.readers.series import read_scan
from spinenet.readers.volumes.metaimage import read_metaimage
from spinenet.types import Scan
from support.small_scans import make_scan, stored_as


def reason_of(data: bytes, **beside: bytes) -> str:
    with pytest.raises(ScanError) as caught:
        read_metaimage("a.mhd", {"a.mhd": data, **beside})
    return caught.value.reason


def header_of(scan: Scan, voxels: Any = "LOCAL", **changes: Any) -> bytes:
    """As a program would write it, axes in the scan's own order."""
    steps = np.linalg.norm(scan.affine[:3, :3], axis=0)
    values = {
        "ObjectType": "Image",
        "NDims": 3,
        "BinaryData": True,
        "BinaryDataByteOrderMSB": False,
        "CompressedData": False,
        "TransformMatrix": " ".join(map(str, (scan.affine[:3, :3] / steps).T.ravel().tolist())),
        "Offset": " ".join(map(str, scan.affine[:3, 3].tolist())),
        "ElementSpacing": " ".join(map(str, steps.tolist())),
        "DimSize": " ".join(map(str, scan.shape)),
        "ElementType": "MET_SHORT",
    } | changes
    lines = [f"{key} = {value}" for key, value in values.items() if value is not None]
    return "\n".join([*lines, f"ElementDataFile = {voxels}\n"]).encode()


def voxels_of(scan: Scan) -> bytes:
    return bytes(scan.volume.astype("<i2").tobytes(order="F"))


def test_any_axes_give_the_same_scan() -> None:
    pytest.importorskip("SimpleITK")
    scan = make_scan(tilt_degrees=12)
    for first, second, third in itertools.permutations(range(3)):
        stored = stored_as(scan, (first, second, third), (True, False, True))
        read = read_metaimage("1_t2.mha", {"1_t2.mha": header_of(stored) + voxels_of(stored)})
        np.testing.assert_array_equal(read.volume, scan.volume)
        np.testing.assert_allclose(read.affine, scan.affine, atol=1e-9)
        assert read.slice_spacing == pytest.approx(scan.slice_spacing)
        assert read.sequence == "T2"
        assert read.flags == ("oblique",)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("suffix", [".mha", ".mhd"])
def test_files_of_the_library_itself(tmp_path: Path, packed: bool, suffix: str) -> None:
    sitk = pytest.importorskip("SimpleITK")
    scan = make_scan()
    image = sitk.GetImageFromArray(scan.volume.transpose(2, 1, 0))
    steps = np.linalg.norm(scan.affine[:3, :3], axis=0)
    image.SetSpacing(steps.tolist())
    image.SetDirection((scan.affine[:3, :3] / steps).ravel().tolist())
    image.SetOrigin(scan.affine[:3, 3].tolist())
    (tmp_path / "only").mkdir()
    sitk.WriteImage(image, str(tmp_path / "only" / f"x_T1{suffix}"), packed)
    files = sorted((tmp_path / "only").iterdir())
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in files:
            archive.write(path, f"x/{path.name}")
    header = next(path for path in files if path.suffix == suffix)
    reads = [read_scan(place) for place in (header, header.parent, tmp_path / "a.zip")]
    for read in reads:
        np.testing.assert_array_equal(read.volume, scan.volume)
        np.testing.assert_allclose(read.affine, scan.affine, atol=1e-9)
        assert read.sequence == "T1"
        assert read.fingerprint == reads[0].fingerprint


def test_big_endian_and_a_header_to_be_skipped() -> None:
    pytest.importorskip("SimpleITK")
    scan = make_scan()
    head = header_of(scan, "a.raw", BinaryDataByteOrderMSB=True, HeaderSize=-1)
    raw = b"of another format" + scan.volume.astype(">i2").tobytes(order="F")
    np.testing.assert_array_equal(read_metaimage("a.mhd", {"a.mhd": head, "a.raw": raw}).volume, scan.volume)


def test_reasons() -> None:
    scan = make_scan()
    good, voxels = header_of(scan), voxels_of(scan)
    assert reason_of(b"") == "unreadable"
    assert reason_of(b"no header\n" * 50) == "unreadable"
    assert reason_of(good + voxels[:-1]) == "bad_pixels"
    assert reason_of(header_of(scan, DimSize="30000 30000 30000")) == "too_large"
    assert reason_of(header_of(scan, DimSize="20 16 -5") + voxels) == "bad_pixels"
    assert reason_of(header_of(scan, DimSize="20 16 99999") + voxels) == "bad_pixels"
    assert reason_of(header_of(scan, DimSize="20 16") + voxels) == "unsupported_image"
    assert reason_of(header_of(scan, NDims=4) + voxels) == "unsupported_image"
    assert reason_of(header_of(scan, ElementNumberOfChannels=3) + voxels) == "unsupported_image"
    assert reason_of(header_of(scan, ElementType="MET_OTHER") + voxels) == "unsupported_image"
    assert reason_of(header_of(scan, BinaryData=False) + voxels) == "unsupported_image"
    assert reason_of(header_of(scan, HeaderSize=12) + voxels) == "unsupported_image"


def test_packed_voxels_are_checked() -> None:
    scan = make_scan()
    head = header_of(scan, CompressedData=True)
    packed = zlib.compress(voxels_of(scan))
    assert reason_of(head + packed[:-300]) == "bad_pixels"
    assert reason_of(head + b"\xff" * 3000) == "bad_pixels"
    assert reason_of(head + zlib.compress(voxels_of(scan)[:-2])) == "bad_pixels"
    claimed = header_of(scan, CompressedData=True, DimSize="400 400 400")
    assert reason_of(claimed + packed) == "bad_pixels"


@pytest.mark.parametrize(
    "elsewhere", ["/etc/passwd", "../a.raw", "sub/a.raw", "LIST", "a%03d.raw 1 5 1", "C:\\a.raw"]
)
def test_voxels_elsewhere_are_not_fetched(tmp_path: Path, elsewhere: str) -> None:
    head = header_of(make_scan(), elsewhere)
    assert reason_of(head, **{elsewhere: voxels_of(make_scan())}) == "unsupported_image"
    (tmp_path / "a.mhd").write_bytes(head)
    with pytest.raises(ScanError) as caught:
        read_scan(tmp_path / "a.mhd")
    assert caught.value.reason == "unsupported_image"


def test_voxels_that_are_gone(tmp_path: Path) -> None:
    assert reason_of(header_of(make_scan(), "a.raw")) == "no_pixels"
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mhd").write_bytes(header_of(make_scan(), "a.raw"))
    (tmp_path / "a.raw").write_bytes(voxels_of(make_scan()))
    for place in (tmp_path / "in" / "a.mhd", tmp_path / "in"):
        with pytest.raises(ScanError) as caught:
            read_scan(place)
        assert caught.value.reason == "no_pixels"


@pytest.mark.parametrize("key", ["TransformMatrix", "ElementSpacing", "Offset"])
@pytest.mark.parametrize("value", [None, "x y z", "nan 0 0", "1 2", "0 0 0 0 0 0 0 0 0"])
def test_geometry_that_makes_no_sense(key: str, value: Any) -> None:
    scan = make_scan()
    if key == "TransformMatrix" and value == "0 0 0 0 0 0 0 0 0":
        pytest.importorskip("SimpleITK")
    wanted = {"missing_tags", "unreadable"} if value and value.startswith("0") else {"missing_tags"}
    assert reason_of(header_of(scan, **{key: value}) + voxels_of(scan)) in wanted


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    scan = make_scan()
    with pytest.raises(ScanError, match=r"spinenet\[metaimage\]"):
        read_metaimage("a.mha", {"a.mha": header_of(scan) + voxels_of(scan)})


def test_other_planes_and_too_few_slices() -> None:
    pytest.importorskip("SimpleITK")
    few, axial = make_scan((20, 16, 2)), make_scan()
    axial.affine[:3, :3] = axial.affine[[2, 1, 0], :3]
    assert reason_of(header_of(few) + voxels_of(few)) == "too_few_slices"
    assert reason_of(header_of(axial) + voxels_of(axial)) == "not_sagittal"


def test_folders_with_a_dicom_series_are_read_as_dicom(tmp_path: Path, series: list[Path]) -> None:
    (series[0].parent / "a.mha").write_bytes(header_of(make_scan()) + voxels_of(make_scan()))
    assert read_scan(series[0].parent).flags == ("files_ignored",)
