"""A table of odd files: what each is to become, and what it becomes.

``PYTHONPATH=.:tests python -m support.odd_files`` writes it out.
"""

from __future__ import annotations

import gzip
import io
import random
import struct
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydicom
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
)

from spinenet.anatomy import REASONS
from spinenet.errors import ScanError
from spinenet.readers.series import read_scan
from spinenet.synthetic.dicom import COMPRESSIONS, can_compress
from spinenet.synthetic.enhanced import write_enhanced
from support import jpeg_lossless
from support.small_scans import assert_same, edit, make_scan, save

SCAN = make_scan((65, 33, 5))
"""What the rows whose outcome is "scan" hold, each in its own form."""

BUNDLED = Path(pydicom.__file__).parent / "data"

OF_PYDICOM = {
    "charset_files/FileInfo.txt": "not_dicom",
    "charset_files/chrSQEncoding*.dcm": "unreadable",
    "charset_files/*.dcm": "not_mr",
    "test_files/MR_*.dcm": "not_sagittal",
    "test_files/examples_overlay.dcm": "not_sagittal",
    "test_files/zipMR.gz": "not_sagittal",
    "test_files/reportsi*.dcm": "not_image",
    "test_files/test-SR.dcm": "not_image",
    "test_files/rtplan*.dcm": "not_image",
    "test_files/rtstruct.dcm": "not_image",
    "test_files/ExplVR_*NoMeta.dcm": "not_image",
    "test_files/waveform_ecg.dcm": "not_image",
    "test_files/liver_*.dcm": "not_image",
    "test_files/no_meta.dcm": "not_dicom",
    "test_files/no_meta_group_length.dcm": "unreadable",
    "test_files/meta_missing_tsyntax.dcm": "unreadable",
    "test_files/*priv_SQ.dcm": "unreadable",
    "test_files/UN_sequence.dcm": "unreadable",
    "test_files/empty_charset_LEI.dcm": "unreadable",
    "test_files/dicomdirtests/DICOMDIR*": "not_image",
    "test_files/*.dcm": "not_mr",
    "test_files/dicomdirtests/TINY_ALPHA": "not_mr",
    "test_files/dicomdirtests/77654033": "not_mr",
    "test_files/dicomdirtests/98892001": "not_mr",
    "test_files/dicomdirtests/98892003": "localizer",
    "test_files/dicomdirtests/98892003/MR1": "too_few_slices",
    "test_files/dicomdirtests/98892003/MR2": "localizer",
    "test_files/dicomdirtests/98892003/MR700": "localizer",
    "test_files/*": "not_dicom",
}
"""Outcome by pattern of the file's or folder's path in pydicom's package; the first that fits counts."""

Make = Callable[[Path], Path]


def bundled() -> list[str]:
    """The files that the installed package brings; of its folders of patients each as a whole."""
    paths = [*BUNDLED.glob("charset_files/*.*"), *BUNDLED.glob("test_files/*")]
    paths += [
        *BUNDLED.glob("test_files/dicomdirtests/*"),
        *BUNDLED.glob("test_files/dicomdirtests/98892003/*"),
    ]
    return sorted(str(path.relative_to(BUNDLED)) for path in paths if path.name != "dicomdirtests")


def classic(change: Callable[[pydicom.Dataset], object] = lambda dataset: None, **options: Any) -> Make:
    def make(folder: Path) -> Path:
        edit(save(folder / "series", SCAN, **options), change)
        return folder / "series"

    return make


def enhanced(change: Callable[[pydicom.Dataset], None] = lambda dataset: None, **options: Any) -> Make:
    def make(folder: Path) -> Path:
        write_enhanced(folder / "enhanced", save(folder / "classic", SCAN), **options)
        edit([folder / "enhanced"], change)
        return folder / "enhanced"

    return make


def bytewise(change: Callable[[bytes], bytes]) -> Make:
    def make(folder: Path) -> Path:
        for path in save(folder / "series", SCAN):
            path.write_bytes(change(path.read_bytes()))
        return folder / "series"

    return make


def packed(pack: Callable[[Path, Mapping[str, bytes]], None], **added: bytes) -> Make:
    def make(folder: Path) -> Path:
        files = {path.name: path.read_bytes() for path in save(folder / "series", SCAN)}
        pack(folder / "archive", files | added)
        return folder / "archive"

    return make


def alone(data: bytes) -> Make:
    def make(folder: Path) -> Path:
        (folder / "file.dcm").write_bytes(data)
        return folder / "file.dcm"

    return make


def setting(**values: Any) -> Callable[[pydicom.Dataset], None]:
    def change(dataset: pydicom.Dataset) -> None:
        for keyword, value in values.items():
            setattr(dataset, keyword, value)

    return change


def without_meta(data: bytes) -> bytes:
    return data[144 + struct.unpack_from("<I", data, 140)[0] :]


def rewritten(uid: pydicom.uid.UID) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        dataset = pydicom.dcmread(io.BytesIO(data))
        dataset.file_meta.TransferSyntaxUID = uid
        big = not uid.is_little_endian
        if big:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").byteswap().tobytes()
        buffer = io.BytesIO()
        options = {"implicit_vr": uid.is_implicit_VR, "little_endian": not big, "force_encoding": big}
        pydicom.dcmwrite(buffer, dataset, **options)
        return buffer.getvalue()

    return change


def jpeg_lossless_frames(dataset: pydicom.Dataset) -> None:
    frames = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
    dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    dataset.PixelData = encapsulate([jpeg_lossless.encode(frame) for frame in frames])
    dataset["PixelData"].is_undefined_length = True


def three_planes(dataset: pydicom.Dataset) -> None:
    planes = ([0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0, -1], [1, 0, 0, 0, 1, 0])
    dataset.ImageOrientationPatient = planes[dataset.InstanceNumber % 3]


def two_times(dataset: pydicom.Dataset) -> None:
    groups = dataset.PerFrameFunctionalGroupsSequence
    dataset.PerFrameFunctionalGroupsSequence = [*groups, *groups]
    dataset.NumberOfFrames, dataset.PixelData = 10, dataset.PixelData + dataset.PixelData[::-1]


def no_groups(dataset: pydicom.Dataset) -> None:
    del dataset.PerFrameFunctionalGroupsSequence, dataset.SharedFunctionalGroupsSequence


def into_zip(path: Path, files: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def into_tar(
    path: Path, files: Mapping[str, bytes], mode: Literal["w", "w:gz", "w:bz2", "w:xz"] = "w"
) -> None:
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def into_tgz(path: Path, files: Mapping[str, bytes]) -> None:
    into_tar(path, files, "w:gz")


def zip_of_a_tar(path: Path, files: Mapping[str, bytes]) -> None:
    into_tar(path, files)
    into_zip(path, {"inner.tar": path.read_bytes()})


NESTED = struct.pack("<2H2sHI2HI", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF, 0xFFFE, 0xE000, 0xFFFFFFFF)

ODD: dict[str, tuple[str, Make]] = {
    "classic": ("scan", classic()),
    **{
        f"{form} {name}": ("scan", make(compression=name))
        for name in COMPRESSIONS
        if can_compress(name)
        for form, make in (("classic", classic), ("enhanced", enhanced))
    },
    "classic JPEG lossless": ("scan", classic(jpeg_lossless_frames)),
    "enhanced JPEG lossless": ("scan", enhanced(jpeg_lossless_frames)),
    "enhanced": ("scan", enhanced()),
    "legacy converted enhanced": ("scan", enhanced(converted=True)),
    "enhanced big endian": ("scan", lambda folder: _rewrite(enhanced()(folder), ExplicitVRBigEndian)),
    "enhanced deflated": (
        "scan",
        lambda folder: _rewrite(enhanced()(folder), DeflatedExplicitVRLittleEndian),
    ),
    "implicit": ("scan", bytewise(rewritten(ImplicitVRLittleEndian))),
    "big endian": ("scan", bytewise(rewritten(ExplicitVRBigEndian))),
    "deflated": ("scan", bytewise(rewritten(DeflatedExplicitVRLittleEndian))),
    "bare explicit": ("scan", bytewise(without_meta)),
    "bare implicit": ("scan", bytewise(lambda data: without_meta(rewritten(ImplicitVRLittleEndian)(data)))),
    "bare big endian": ("scan", bytewise(lambda data: without_meta(rewritten(ExplicitVRBigEndian)(data)))),
    "no preamble": ("scan", bytewise(lambda data: data[132:])),
    "gzip'd": ("scan", bytewise(gzip.compress)),
    "zip": ("scan", packed(into_zip)),
    "tar": ("scan", packed(into_tar)),
    "tgz": ("scan", packed(into_tgz)),
    "zip of a tar": ("scan", packed(zip_of_a_tar)),
    "zip that points outside": ("unsafe_archive", packed(into_zip, **{"../x": b""})),
    "tgz that points outside": ("unsafe_archive", packed(into_tgz, **{"/etc/x": b""})),
    "random bytes": ("not_dicom", alone(random.Random(1).randbytes(5000))),
    "random bytes that begin as DICOM": ("not_dicom", alone(b"\x08\x00" + random.Random(2).randbytes(5000))),
    "text": ("not_dicom", alone(b"0008,0005 CS ISO_IR 100\n" * 100)),
    "no bytes": ("not_dicom", alone(b"")),
    "cut off in the header": ("unreadable", bytewise(lambda data: data[:601])),
    "cut off in the pixels": ("bad_pixels", bytewise(lambda data: data[:-100])),
    "empty pixels": ("no_pixels", classic(setting(PixelData=b""))),
    "no pixels": ("no_pixels", classic(lambda dataset: dataset.pop("PixelData"))),
    "more rows than the file holds": ("bad_pixels", classic(setting(Rows=2000, Columns=3000))),
    "more voxels than are read": ("too_large", classic(setting(Rows=65535, Columns=65535))),
    "more frames than the file holds": ("bad_pixels", enhanced(setting(NumberOfFrames=2**31 - 1))),
    "frames at several times": ("duplicate_positions", enhanced(two_times)),
    "frames without geometry": ("unsupported_image", enhanced(no_groups)),
    "deeply nested": (
        "unreadable",
        bytewise(lambda data: data[: -len(without_meta(data))] + NESTED * 20_000),
    ),
    "mosaic": ("mosaic", classic(setting(ImageType=["ORIGINAL", "PRIMARY", "MOSAIC"]))),
    "localizer": ("localizer", classic(three_planes)),
    "colour": ("colour", classic(setting(SamplesPerPixel=3, PhotometricInterpretation="RGB"))),
    "document": ("not_image", classic(setting(SOPClassUID=EncapsulatedPDFStorage))),
}
"""Outcome, "scan" or a reason, and what makes the file, by name."""


def _rewrite(path: Path, uid: pydicom.uid.UID) -> Path:
    path.write_bytes(rewritten(uid)(path.read_bytes()))
    return path


def expected_of(name: str) -> str:
    return next(outcome for pattern, outcome in OF_PYDICOM.items() if fnmatch(name, pattern))


def outcome_of(path: Path) -> str:
    """A reason, or "scan" if the path is read as :data:`SCAN`; fails on any other scan or error."""
    try:
        read = read_scan(path)
    except ScanError as error:
        one_sentence = len(error.detail.splitlines()) == 1
        return error.reason if error.reason in REASONS and one_sentence else repr(error)
    assert_same(read, SCAN)
    return "scan"


def main() -> None:
    rows = [("file", "expected", "got")]
    rows += [(name, expected_of(name), outcome_of(BUNDLED / name)) for name in bundled()]
    for name, (expected, make) in ODD.items():
        with tempfile.TemporaryDirectory() as folder:
            rows.append((name, expected, outcome_of(make(Path(folder)))))
    for name, expected, got in rows:
        sys.stdout.write(
            f"{name:60} {expected:20} {got:20} {'' if got == expected or name == 'file' else '!'}\n"
        )


if __name__ == "__main__":
    main()
