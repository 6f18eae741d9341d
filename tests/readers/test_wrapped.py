"""Files without their beginning, gzip'd or in an archive are the same scan; others are not DICOM."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import struct
import tarfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pydicom
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from spinenet.errors import ScanError
from spinenet.readers.dicom.collected import Collected
from spinenet.readers.dicom.grouping import group_series
from spinenet.readers.dicom.headers import read_frames
from spinenet.readers.series import read_scan
from spinenet.readers.sources import limits as limits_module
from spinenet.readers.sources import packing as packing_module
from spinenet.readers.sources.packing import unpacked
from spinenet.readers.sources.part10 import as_part10, is_dicom
from spinenet.types import Scan
from support.small_scans import assert_same, make_scan, save

META_AT = 132


def reason_of(path: Path) -> str:
    with pytest.raises(ScanError) as caught:
        read_scan(path)
    assert str(path.parent) not in str(caught.value)
    return caught.value.reason


def meta_end(data: bytes) -> int:
    return 144 + int.from_bytes(data[140:144], "little")


def rewritten(path: Path, uid: pydicom.uid.UID) -> bytes:
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = uid
    big = not uid.is_little_endian
    if big:
        pixels = bytearray(dataset.PixelData)
        pixels[::2], pixels[1::2] = pixels[1::2], pixels[::2]
        dataset.PixelData = bytes(pixels)
    buffer = io.BytesIO()
    pydicom.dcmwrite(
        buffer, dataset, implicit_vr=uid.is_implicit_VR, little_endian=not big, force_encoding=big
    )
    return buffer.getvalue()


@pytest.mark.parametrize("uid", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("kept", ["bare", "meta"])
def test_files_without_their_beginning(
    series: list[Path], scan: Scan, uid: pydicom.uid.UID, kept: str
) -> None:
    for path in series:
        data = rewritten(path, uid)
        path.write_bytes(data[META_AT if kept == "meta" else meta_end(data) :])
    read = read_scan(series[0].parent)
    assert_same(read, scan)
    assert read.flags == ()


@pytest.mark.parametrize("name", ["{}.dcm.gz", "{}"])
def test_gzipped_files(series: list[Path], scan: Scan, name: str) -> None:
    plain = read_scan(series[0].parent)
    for path in series:
        path.with_name(name.format(path.stem)).write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    read = read_scan(series[0].parent)
    assert_same(read, scan)
    assert read.fingerprint == plain.fingerprint


def test_gzipped_bare_and_deflated_files(series: list[Path], scan: Scan) -> None:
    for path, uid in zip(
        series, [DeflatedExplicitVRLittleEndian] * 3 + [ImplicitVRLittleEndian] * 2, strict=True
    ):
        data = rewritten(path, uid)
        path.write_bytes(gzip.compress(data if uid.is_deflated else data[meta_end(data) :]))
    assert_same(read_scan(series[0].parent), scan)


def test_gzipped_bombs_and_broken_files(series: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = series[2].read_bytes()
    series[2].write_bytes(gzip.compress(whole)[:-30])
    assert reason_of(series[0].parent) == "missing_slices"
    for path in series:
        path.write_bytes(gzip.compress(whole)[:-30])
    assert reason_of(series[0].parent) == "unreadable"
    monkeypatch.setattr(limits_module, "MAX_BYTES", 100_000)
    series[2].write_bytes(gzip.compress(whole + b"\0" * 200_000))
    assert reason_of(series[0].parent) == "too_large"


def test_files_that_are_small_packed_and_large_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # what is no DICOM is never unpacked, whatever it would unpack to
    (tmp_path / "zeros.gz").write_bytes(gzip.compress(b"\0" * 1_000_000))
    monkeypatch.setattr(limits_module, "MAX_BYTES", 20_000)
    assert reason_of(tmp_path) == "not_dicom"
    empty = make_scan((64, 64, 4))
    empty.volume[:] = 0
    for path in save(tmp_path / "series", empty):
        path.write_bytes(gzip.compress(path.read_bytes()))
    assert reason_of(tmp_path) == "too_large"


def test_unpacking_ends_where_a_path_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    piece = 1 << 14
    monkeypatch.setattr(limits_module, "_PIECE", piece)
    monkeypatch.setattr(limits_module, "MAX_BYTES", 300_000)
    packed, total = gzip.compress(bytes(200_000)), limits_module.UnpackedTotal()
    assert len(limits_module.gunzip(packed, total=total)) == total.size == 200_000
    with pytest.raises(ScanError, match="too_large"):
        limits_module.gunzip(packed, total=total)
    assert total.size <= 300_000 + piece, "the second file was not unpacked to its end"


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress])
def test_packed_files_are_too_large_and_not_broken(
    monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    packed = pack(bytes(3_000_000))
    total = limits_module.UnpackedTotal()
    monkeypatch.setattr(limits_module, "MAX_BYTES", 4_000_000)
    assert len(unpacked(packed, total)) == total.size == 3_000_000
    with pytest.raises(ScanError, match="too_large: the files unpack to more than"):
        unpacked(packed, total)
    with pytest.raises(ScanError, match="unreadable: the packed file"):
        unpacked(packed[: len(packed) // 2] + b"\xff" * 40)
    monkeypatch.setattr(packing_module, "MAX_UNPACKED", 2_000_000)
    with pytest.raises(ScanError, match="too_large: the file unpacks to more than"):
        unpacked(packed)


def test_an_error_that_is_kept_holds_no_bytes_of_the_file(series: list[Path]) -> None:
    broken = gzip.compress(series[0].read_bytes())[:-30]
    collected = Collected()
    with pytest.raises(ScanError, match="too early") as caught:
        as_part10(broken)
    collected.lose(caught.value)
    assert collected.broken is not None
    assert (collected.broken.reason, collected.broken.detail) == (caught.value.reason, caught.value.detail)
    assert (collected.broken.__traceback__, collected.broken.__context__) == (None, None)
    # slices without positions do not make a stack
    frames = [
        replace(frame, position=None)
        for path in series
        for frame in read_frames(path.name, path.read_bytes())
    ]
    (grouped,) = group_series(frames, lambda names: iter(()))
    assert isinstance(grouped.outcome, ScanError)
    assert (grouped.outcome.__traceback__, grouped.outcome.__context__) == (None, None)


def test_what_is_not_dicom(tmp_path: Path) -> None:
    dice = random.Random(3)
    beginnings = [
        b"",
        b"\x08\x00",
        b"\x00\x08",
        b"\x02\x00",
        b"\x08\x00\x05\x00CS",
        b"\x08\x00\x05\x00\x0a\0\0\0ISO_IR 100",
    ]
    for _ in range(300):
        data = dice.choice(beginnings) + dice.randbytes(dice.randrange(0, 4000))
        assert not is_dicom(data)
        assert as_part10(data) is None
    (tmp_path / "a.txt").write_text("08000500 a text that is none\n" * 50)
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"another text" * 100))
    (tmp_path / "c").write_bytes(b"\x08\x00" * 1000)
    assert reason_of(tmp_path) == "not_dicom"


def test_the_first_part_of_a_packed_file_has_its_header(series: list[Path]) -> None:
    plain = series[0].read_bytes()
    (whole,) = read_frames("a", plain)
    packed = gzip.compress(plain)
    part = as_part10(packed[:-200], whole=False)
    assert part is not None
    (frame,) = read_frames("a", part)
    assert (frame.position, frame.pixels) == (whole.position, whole.pixels)
    with pytest.raises(ScanError, match="too early"):
        as_part10(packed[:-200])
    deflated = as_part10(rewritten(series[0], DeflatedExplicitVRLittleEndian)[:-200], whole=False)
    assert deflated is not None
    (frame,) = read_frames("a", deflated)
    assert frame.position == whole.position


@pytest.mark.parametrize("implicit", [False, True])
def test_deflated_bombs_behind_an_odd_meta_header(
    series: list[Path], monkeypatch: pytest.MonkeyPatch, implicit: bool
) -> None:
    data = rewritten(series[0], DeflatedExplicitVRLittleEndian)
    uid = DeflatedExplicitVRLittleEndian.encode()
    # a long private element before the syntax, and no length of the group
    long = struct.pack("<2H2sHI", 2, 1, b"OB", 0, 4000) + b"\0" * 4000
    element = struct.pack("<2H2sH", 2, 0x10, b"UI", len(uid)) + uid
    if implicit:
        long, element = b"", struct.pack("<2HI", 2, 0x10, len(uid)) + uid
    squeezer = zlib.compressobj(wbits=-15)
    plain = series[0].read_bytes()
    body = squeezer.compress(plain[meta_end(plain) :] + b"\0" * 2_000_000) + squeezer.flush()
    series[0].write_bytes(data[:META_AT] + long + element + body)
    monkeypatch.setattr(limits_module, "MAX_BYTES", 1_000_000)
    assert reason_of(series[0].parent) == "too_large"


def tarred(
    path: Path,
    members: Mapping[str, bytes],
    mode: Literal["w", "w:gz", "w:bz2", "w:xz"] = "w",
    **changes: Any,
) -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for key, value in changes.get(name.replace(".", "_"), {}).items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize(
    ("name", "mode"), [("a.tar", "w"), ("a.tgz", "w:gz"), ("visit", "w:gz"), ("b.tar.gz", "w:gz")]
)
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_tar_archives(
    tmp_path: Path, series: list[Path], scan: Scan, name: str, mode: Literal["w", "w:gz"], form: Any
) -> None:
    with tarfile.open(tmp_path / name, mode, format=form) as archive:
        for path in series:
            archive.add(path, f"visit/{'deep/' * 15}{path.name}")
    read = read_scan(tmp_path / name)
    assert_same(read, scan)
    assert read.fingerprint == read_scan(series[0].parent).fingerprint


def test_links_and_devices_of_an_archive_are_passed_over(
    tmp_path: Path, series: list[Path], scan: Scan
) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, kind in (
            ("l", tarfile.SYMTYPE),
            ("h", tarfile.LNKTYPE),
            ("d", tarfile.CHRTYPE),
            ("p", tarfile.FIFOTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/hostname"
            archive.addfile(info)
        for path in series:
            archive.add(path, path.name)
    read = read_scan(tmp_path / "a.tar")
    assert_same(read, scan)
    assert read.flags == ()


def test_archives_in_archives_are_opened_down_to_the_third(
    tmp_path: Path, scan: Scan, series: list[Path]
) -> None:
    archive = tarred(tmp_path / "0.tar", {path.name: path.read_bytes() for path in series})
    for depth in (1, 2, 3):
        archive = tarred(tmp_path / f"{depth}.tar", {archive.name: archive.read_bytes()})
        if depth < 3:
            assert_same(read_scan(archive), scan)
    assert reason_of(archive) == "unsupported_format"


def test_hostile_tar_archives(tmp_path: Path, series: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    good = {path.name: path.read_bytes() for path in series}
    for name in ("../../x", "/etc/x", "a/../../x", "C:\\x"):
        assert reason_of(tarred(tmp_path / "a.tar", good | {name: b"x"})) == "unsafe_archive"
    assert reason_of(tarred(tmp_path / "a.tar", {"a.txt": b"x"})) == "not_dicom"
    path = tarred(tmp_path / "a.tgz", good, "w:gz")
    path.write_bytes(path.read_bytes()[:-700])
    assert reason_of(path) == "unreadable"
    path = tarred(tmp_path / "a.tar", good)
    path.write_bytes(path.read_bytes()[:3000])
    assert reason_of(path) == "unreadable"
    # sizes below zero, as a number of base 256 and as a word of the extended header
    forms: tuple[tuple[Literal[1, 2], int], ...] = ((tarfile.GNU_FORMAT, -1024), (tarfile.PAX_FORMAT, 10))
    for form, size in forms:
        info = tarfile.TarInfo("a")
        info.size = size
        if form == tarfile.PAX_FORMAT:
            info.pax_headers = {"size": "-1024"}
        (tmp_path / "b.tar").write_bytes(info.tobuf(form) + b"\0" * 1024)
        assert reason_of(tmp_path / "b.tar") == "unreadable"
    # long names of long names, without end
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 0
    (tmp_path / "c.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) * 5000)
    assert reason_of(tmp_path / "c.tar") == "unreadable"
    monkeypatch.setattr(limits_module, "MAX_BYTES", 100_000)
    assert reason_of(tarred(tmp_path / "d.tgz", {"bomb": b"\0" * 1_000_000}, "w:gz")) == "too_large"
    # a sparse member claims any size
    info = tarfile.TarInfo("sparse")
    info.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.map": "0,1", "GNU.sparse.size": str(1 << 40)}
    (tmp_path / "e.tar").write_bytes(info.tobuf(tarfile.PAX_FORMAT) + b"\0" * 1024)
    assert reason_of(tmp_path / "e.tar") == "too_large"
    monkeypatch.setattr(limits_module, "MAX_FILES", 4)
    assert reason_of(tarred(tmp_path / "f.tar", good)) == "too_large"
