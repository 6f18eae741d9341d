"""A place becomes rows that say what the reader would say, from headers and sizes alone."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path

import fsspec
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, MediaStorageDirectoryStorage

from spinenet.anatomy import REASONS
from spinenet.errors import ScanError
from spinenet.index.rows import Row
from spinenet.index.subjects import keyed_subject
from spinenet.index.survey import survey
from spinenet.readers.series import read_scan
from spinenet.readers.sources import limits as limits_module
from spinenet.synthetic.enhanced import write_enhanced
from support.trees import LOCAL, edit, metaimage, nifti, only, packed, rows_of, series, surveys, tar_of


def outcome(row: Row) -> str:
    """What the reader says of a row's series."""
    try:
        scan = read_scan(row["path"], series_uid=row.get("series_uid"))
    except ScanError as error:
        return error.reason
    assert (row["rows"], row["columns"], row["slices"]) == scan.volume.shape
    assert (row["row_spacing_mm"], row["column_spacing_mm"]) == pytest.approx(scan.pixel_spacing)
    assert row["slice_spacing_mm"] == pytest.approx(scan.slice_spacing)
    assert row["sequence"] == scan.sequence
    return "usable"


def verdict(row: Row) -> str:
    assert row["usable"] == (row["reason"] is None) == (row["detail"] is None)
    assert row["usable"] or row["reason"] in REASONS
    return "usable" if row["usable"] else str(row["reason"])


def agreed(root: Path) -> str:
    """The only row's verdict, which is the reader's."""
    row = only(root)
    assert verdict(row) == outcome(row)
    return verdict(row)


def setting(**values: object) -> Callable[[pydicom.Dataset], None]:
    def change(dataset: pydicom.Dataset) -> None:
        for keyword, value in values.items():
            setattr(dataset, keyword, value)

    return change


def test_a_row_for_each_series_of_a_folder(tmp_path: Path) -> None:
    series(tmp_path, "1.1", (12, 10, 4))
    series(tmp_path, "1.2", (20, 16, 6), "T1", "t1 sag")
    series(tmp_path, "1.3", (12, 10, 2))
    (tmp_path / "README").write_text("not DICOM " * 1000, encoding="utf-8")
    (found,) = surveys(tmp_path)
    rows = {row["series_uid"]: row for row in found.rows}
    assert {uid: verdict(row) for uid, row in rows.items()} == {
        "1.1": "usable",
        "1.2": "usable",
        "1.3": "too_few_slices",
    }
    assert all(verdict(row) == outcome(row) for row in rows.values())
    assert (found.n_files, found.n_dicom) == (13, 12)
    assert found.bytes_read <= 13 * 4096
    row = rows["1.2"]
    assert (row["path"], row["sequence"], row["plane"], row["n_files"]) == (
        str(tmp_path),
        "T1",
        "sagittal",
        6,
    )
    assert row["field_of_view_height_mm"] == pytest.approx(20 * 0.7)
    assert row["field_of_view_width_mm"] == pytest.approx(16 * 0.6)
    assert row["bytes"] == sum(path.stat().st_size for path in tmp_path.glob("1.2-*"))
    assert (row["description"], row["manufacturer"], row["body_part"]) == (
        "t1 sag",
        "spinenet synthetic",
        "SPINE",
    )


def gunzipped(path: Path) -> None:
    path.write_bytes(gzip.compress(path.read_bytes()))


def deflated(path: Path) -> None:
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(path)


def bare(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[144 + struct.unpack_from("<I", data, 140)[0] :])


@pytest.mark.parametrize("change", [gunzipped, deflated, bare])
def test_files_in_other_forms(tmp_path: Path, change: Callable[[Path], None]) -> None:
    for path in series(tmp_path, shape=(200, 200, 4)):
        change(path)
    assert agreed(tmp_path) == "usable"


def test_a_file_of_many_frames_is_its_own_path(tmp_path: Path) -> None:
    slices = series(tmp_path / "classic")
    write_enhanced(tmp_path / "enhanced" / "IM1", slices)
    row = only(tmp_path / "enhanced")
    assert row["path"] == str(tmp_path / "enhanced" / "IM1")
    assert agreed(tmp_path / "enhanced") == "usable"
    assert (row["slices"], row["n_files"]) == (4, 1)


@pytest.mark.parametrize("cut", [2, 100, 400])
@pytest.mark.parametrize("form", ["plain", "bare", "zip", "tar", "tgz"])
def test_truncated_pixels_show_in_the_sizes(tmp_path: Path, form: str, cut: int) -> None:
    folder = tmp_path / "cut"
    paths = series(folder, shape=(16, 16, 4))
    for path in paths[:1]:
        if form == "bare":
            bare(path)
        path.write_bytes(path.read_bytes()[:-cut])
    if form not in ("plain", "bare"):
        packed(paths, folder / f"scan.{form}")
    assert agreed(folder) == "bad_pixels"


def test_shorter_pixel_elements_show_in_packed_files(tmp_path: Path) -> None:
    def shorten(dataset: pydicom.Dataset) -> None:
        dataset.PixelData = dataset.PixelData[:100]

    paths = series(tmp_path)
    edit(paths, shorten)
    for path in paths:
        gunzipped(path)
    assert agreed(tmp_path) == "bad_pixels"


def test_what_the_geometry_says_comes_before_the_pixels(tmp_path: Path) -> None:
    def axial(dataset: pydicom.Dataset) -> None:
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.ImagePositionPatient = [0, 0, 5 * int(dataset.InstanceNumber)]
        dataset.PixelData = dataset.PixelData[:100]

    edit(series(tmp_path), axial)
    assert agreed(tmp_path) == "not_sagittal"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (setting(Modality="CT"), "not_mr"),
        (setting(PixelSpacing=None), "missing_tags"),
        (setting(ImagePositionPatient=[1, 2, 3]), "duplicate_positions"),
        (setting(BitsAllocated=12), "unsupported_image"),
        (setting(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11"), "not_image"),
        (setting(SamplesPerPixel=3, PhotometricInterpretation="RGB"), "colour"),
        (setting(Rows=2000, Columns=2000), "bad_pixels"),
    ],
)
def test_verdicts_are_the_readers(
    tmp_path: Path, change: Callable[[pydicom.Dataset], None], reason: str
) -> None:
    edit(series(tmp_path), change)
    assert agreed(tmp_path) == reason


def break_header(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:200] + b"\xff" * 5000)


def test_an_unreadable_file_beside_a_series(tmp_path: Path) -> None:
    paths = series(tmp_path)
    shutil.copy(paths[0], tmp_path / "broken")
    break_header(tmp_path / "broken")
    (found,) = surveys(tmp_path)
    assert (found.n_files, found.n_dicom) == (5, 5)
    assert agreed(tmp_path) == "usable"


def test_nothing_but_unreadable_files(tmp_path: Path) -> None:
    for path in series(tmp_path):
        break_header(path)
    assert agreed(tmp_path) == "unreadable"


def test_headers_cut_off_before_they_say_anything(tmp_path: Path) -> None:
    for path in series(tmp_path):
        path.write_bytes(path.read_bytes()[:400])
    assert agreed(tmp_path) == "unreadable"


def test_the_directory_of_a_disc_is_no_series(tmp_path: Path) -> None:
    (path,) = series(tmp_path)[:1]
    dataset = pydicom.dcmread(path)
    for keyword in ("SeriesInstanceUID", "Rows", "Columns", "PixelData"):
        delattr(dataset, keyword)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = MediaStorageDirectoryStorage
    dataset.save_as(tmp_path / "DICOMDIR")
    assert agreed(tmp_path) == "usable"
    for file in tmp_path.glob("1.2.3-*"):
        file.unlink()
    assert agreed(tmp_path) == "not_image"


def test_the_same_file_twice_counts_once(tmp_path: Path) -> None:
    paths = series(tmp_path)
    shutil.copy(paths[0], tmp_path / "again")
    assert only(tmp_path)["n_files"] == 4
    assert agreed(tmp_path) == "usable"


@pytest.mark.parametrize("name", ["scan.zip", "scan.tar", "scan.tgz", "scan.tar.gz"])
def test_archives(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "archive"
    packed([*series(folder, "1.1"), *series(folder, "1.2", sequence="T1")], folder / name)
    (found,) = surveys(folder)
    assert [row["series_uid"] for row in found.rows] == ["1.1", "1.2"]
    assert {row["path"] for row in found.rows} == {str(folder / name)}
    assert [verdict(row) for row in found.rows] == [outcome(row) for row in found.rows] == ["usable"] * 2
    assert (found.n_files, found.n_dicom, found.settled) == (8, 8, True)


def test_a_zip_is_not_read_whole(tmp_path: Path) -> None:
    packed(series(tmp_path, shape=(512, 512, 4)), tmp_path / "scan.zip")
    (found,) = surveys(tmp_path)
    assert found.bytes_read < 60_000 < (tmp_path / "scan.zip").stat().st_size / 4


def encrypted(path: Path) -> None:
    packed(series(path.parent), path)
    data = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        begin = data.find(mark)
        while begin >= 0:
            data[begin + at] |= 1
            begin = data.find(mark, begin + 1)
    path.write_bytes(data)


def outside(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for file in series(path.parent):
            archive.write(file, f"../{file.name}")
            file.unlink()


def outside_tar(path: Path) -> None:
    files = series(path.parent)
    path.write_bytes(gzip.compress(tar_of({f"/etc/{file.name}": file.read_bytes() for file in files})))
    for file in files:
        file.unlink()


def cut_tar(path: Path) -> None:
    files = series(path.parent, shape=(64, 64, 4))
    path.write_bytes(tar_of({file.name: file.read_bytes() for file in files})[:-11_000])
    for file in files:
        file.unlink()


def cut_tgz(path: Path) -> None:
    packed(series(path.parent), path)
    path.write_bytes(path.read_bytes()[:-500])


def broken_member(path: Path) -> None:
    packed(series(path.parent), path)
    data = bytearray(path.read_bytes())
    (name,) = struct.unpack_from("<H", data, 26)
    data[30 + name : 230 + name] = b"\xff" * 200
    path.write_bytes(data)


def no_archive(path: Path) -> None:
    path.write_bytes(b"PK\x03\x04 and nothing else")


@pytest.mark.parametrize(
    ("make", "name", "reason"),
    [
        (encrypted, "a.zip", "unreadable"),
        (outside, "a.zip", "unsafe_archive"),
        (outside_tar, "a.tgz", "unsafe_archive"),
        (cut_tar, "a.tar", "unreadable"),
        (cut_tgz, "a.tgz", "unreadable"),
        (broken_member, "a.zip", "unreadable"),
        (no_archive, "a.zip", "unreadable"),
    ],
)
def test_archives_that_are_refused(
    tmp_path: Path, make: Callable[[Path], None], name: str, reason: str
) -> None:
    make(tmp_path / name)
    assert agreed(tmp_path) == reason
    (found,) = surveys(tmp_path)
    assert found.settled


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tgz"])
def test_archive_bombs(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files = series(tmp_path)
    zeros = tmp_path / "zeros"
    zeros.write_bytes(b"\0" * 3_000_000)
    packed([*files, zeros], tmp_path / name)
    assert agreed(tmp_path) == "usable"
    monkeypatch.setattr(limits_module, "MAX_BYTES", 1_000_000)
    assert agreed(tmp_path) == "too_large"


def test_a_name_as_long_as_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits_module, "MAX_BYTES", 1_000_000)
    (tmp_path / "a.tgz").write_bytes(gzip.compress(tar_of({"n" * 3_000_000: b""})))
    assert agreed(tmp_path) == "too_large"


def test_a_folder_of_more_than_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    series(tmp_path, "1.1")
    series(tmp_path, "1.2")
    monkeypatch.setattr(limits_module, "MAX_FILES", 7)
    rows = rows_of(tmp_path)
    assert [verdict(row) for row in rows] == [outcome(row) for row in rows] == ["too_large"] * 2


REFUSED = """
import os, sys
sys.path[:0] = sys.argv[2:]
import fsspec, pydicom
from spinenet.index.survey import survey
from spinenet.index.places import find_places
if os.geteuid() == 0:
    os.setegid(65534), os.seteuid(65534)
fs = fsspec.filesystem("file")
for place in find_places(fs, sys.argv[1]):
    found = survey(fs, place)
    print(place.path.removeprefix(sys.argv[1]), found.settled, [row["reason"] for row in found.rows])
"""


def test_what_may_not_be_read_is_a_row(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    # a user to whom permissions apply needs a way to the folder
    root = Path("/tmp") / f"spinenet-{uuid.uuid4().hex}"
    try:
        series(root / "open")
        series(root / "locked")[1].chmod(0)
        packed(series(root / "zip"), root / "zip" / "a.zip").chmod(0)
        nifti(root / "volume" / "a.nii").chmod(0)
        (root / "folder").mkdir(mode=0)
        told = subprocess.run(
            [sys.executable, "-c", REFUSED, str(root), str(Path(__file__).parents[2])],
            capture_output=True,
            text=True,
            check=True,
        )
        refused = "False ['permission_denied']"
        assert told.stdout.splitlines() == [
            f"/folder {refused}",
            f"/locked {refused}",
            "/open True [None]",
            f"/volume/a.nii {refused}",
            f"/zip/a.zip {refused}",
        ]
    finally:
        shutil.rmtree(root)


def test_files_that_are_gone_by_then(tmp_path: Path) -> None:
    from spinenet.index.places import find_places

    paths = series(tmp_path)
    (place,) = find_places(LOCAL, str(tmp_path))
    paths[0].unlink()
    found = survey(LOCAL, place)
    assert [row["reason"] for row in found.rows] == ["path_missing"]
    assert not found.settled


def test_names_that_are_no_text_are_rows(tmp_path: Path) -> None:
    bad = os.fsdecode(b"M\xfcller")
    series(tmp_path / bad)
    row = only(tmp_path)
    assert row["path"] == f"{tmp_path}/M?ller"
    assert (row["reason"], "rename" in row["detail"]) == ("unreadable", True)
    slices = series(tmp_path / "good")
    write_enhanced(tmp_path / "good" / bad, slices)
    for path in slices:
        path.unlink()
    row = only(tmp_path / "good")
    assert (row["path"], row["usable"]) == (str(tmp_path / "good"), True)


def test_memory(tmp_path: Path) -> None:
    fs = fsspec.filesystem("memory")
    base = f"/{uuid.uuid4().hex}"
    series(tmp_path / "a", "1.1")
    packed(series(tmp_path / "b", "1.2"), tmp_path / "b" / "s.zip")
    packed(series(tmp_path / "c", "1.3"), tmp_path / "c" / "s.tgz")
    nifti(tmp_path / "d" / "s_T2w.nii.gz")
    try:
        fs.put(str(tmp_path), base, recursive=True)
        here, there = rows_of(tmp_path), rows_of(base, fs)
        assert [row["path"] for row in there] == [
            row["path"].replace(str(tmp_path), f"memory://{base}") for row in here
        ]
        assert [row | {"path": ""} for row in there] == [row | {"path": ""} for row in here]
        assert [outcome(row) for row in there] == ["usable"] * 4
    finally:
        fs.rm(base, recursive=True)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_nifti(tmp_path: Path, ending: str) -> None:
    path = nifti(tmp_path / f"sub-01_T2w{ending}", (5, 200, 300))
    assert agreed(tmp_path) == "usable"
    row = only(tmp_path)
    assert (row["path"], row["sequence"], row["plane"]) == (str(path), "T2", "sagittal")
    (found,) = surveys(tmp_path)
    assert found.bytes_read <= 1 << 16
    if ending == ".nii":
        path.write_bytes(path.read_bytes()[:-2])
        assert agreed(tmp_path) == "bad_pixels"


def test_nifti_of_another_plane(tmp_path: Path) -> None:
    import nibabel
    import numpy as np

    image = nibabel.Nifti1Image(np.zeros((20, 16, 5), np.int16), np.diag([0.7, 0.6, 4.4, 1.0]))
    nibabel.save(image, tmp_path / "a.nii")
    assert agreed(tmp_path) == "not_sagittal"
    (tmp_path / "a.nii").write_bytes(b"no header")
    assert agreed(tmp_path) == "unreadable"


@pytest.mark.parametrize(
    ("said", "sequence"),
    [
        ({"EchoTime": 0.1, "RepetitionTime": 3.5}, "T2"),
        ({"EchoTime": 0.06, "RepetitionTime": 4.2, "InversionTime": 0.16}, "STIR"),
        ({"EchoTime": "long"}, "T1"),
        ({"EchoTime": [0.1]}, "T1"),
        ([], "T1"),
        (None, "T1"),
    ],
)
def test_sidecars(tmp_path: Path, said: object, sequence: str) -> None:
    nifti(tmp_path / "sub-01_T1w.nii.gz")
    sidecar = tmp_path / "sub-01_T1w.json"
    sidecar.write_text(json.dumps(said) if said is not None else "{" * 10_000, encoding="utf-8")
    row = only(tmp_path)
    assert (row["sequence"], row["usable"]) == (sequence, True)


def test_subjects_come_from_the_header(tmp_path: Path) -> None:
    from spinenet.index.places import find_places

    series(tmp_path, "1.1", patient="one")
    series(tmp_path, "1.2", patient="two")
    edit(series(tmp_path, "1.3", patient="one"), setting(PatientID=""))
    # a file without the id does not hide that of the next
    paths = series(tmp_path, "1.4", patient="two")
    edit(paths[:1], setting(PatientID=None))
    subject_of = keyed_subject(b"0123456789abcdef")
    (place,) = find_places(LOCAL, str(tmp_path))
    subjects = {row["series_uid"]: row["subject_id"] for row in survey(LOCAL, place, subject_of).rows}
    assert subjects["1.1"] != subjects["1.2"] == subjects["1.4"]
    assert subjects["1.3"] is None
    assert all(row["subject_id"] is None for row in survey(LOCAL, place).rows)


def test_a_broken_stream_within_a_zip_is_no_crash(tmp_path: Path) -> None:
    """A member that claims more than its stream holds, in each way of packing."""
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            archive.writestr("IM1", bytes(range(256)) * 100)
        data = bytearray(buffer.getvalue())
        data[40:80] = b"\xfe" * 40
        (tmp_path / f"{method}.zip").write_bytes(data)
    rows = rows_of(tmp_path)
    # a member that is stored as it is may hold anything
    assert [row["reason"] for row in rows].count("unreadable") >= 3
    assert {row["reason"] for row in rows} <= {"unreadable", "not_dicom"}
    assert len(rows) == 4


@pytest.mark.parametrize("packed_voxels", [False, True])
@pytest.mark.parametrize("ending", [".mha", ".mhd"])
def test_metaimages_and_their_voxels(tmp_path: Path, ending: str, packed_voxels: bool) -> None:
    pytest.importorskip("SimpleITK")
    files = metaimage(tmp_path / f"1_t2{ending}", packed=packed_voxels)
    assert agreed(tmp_path) == "usable"
    assert (only(tmp_path)["path"], only(tmp_path)["sequence"]) == (str(files[0]), "T2")
    (found,) = surveys(tmp_path)
    assert (found.n_files, found.settled) == (1, True)
    files[-1].write_bytes(files[-1].read_bytes()[:-2])
    if not packed_voxels:
        assert agreed(tmp_path) == "bad_pixels"
        (changed,) = surveys(tmp_path)
        assert changed.place.stamp != found.place.stamp
    if ending == ".mhd":
        files[-1].unlink()
        assert agreed(tmp_path) == "no_pixels"


def test_a_header_that_claims_more_than_its_file_can_unpack_to(tmp_path: Path) -> None:
    metaimage(tmp_path / "a.mha", packed=True)
    data = (tmp_path / "a.mha").read_bytes()
    (tmp_path / "a.mha").write_bytes(data.replace(b"DimSize = 5 16 20", b"DimSize = 500 160 200"))
    assert agreed(tmp_path) == "bad_pixels"


@pytest.mark.parametrize("archive", ["scan.zip", "scan.tar", "scan.tgz"])
@pytest.mark.parametrize("image", ["s_T1w.nii", "s_T1w.nii.gz", "s_T1w.mha", "s_T1w.mhd"])
def test_images_in_archives(tmp_path: Path, archive: str, image: str) -> None:
    """A copy of an image and one that is cut off, as reading takes them out of their archive."""
    pytest.importorskip("SimpleITK")
    make = nifti if ".nii" in image else metaimage
    for cut in (False, True):
        made = make(tmp_path / "inner" / image)
        files = made if isinstance(made, list) else [made]
        (tmp_path / "inner" / "notes.txt").write_text("no image", encoding="utf-8")
        if cut:
            files[-1].write_bytes(files[-1].read_bytes()[:-2])
        packed([*files, tmp_path / "inner" / "notes.txt"], tmp_path / "archives" / archive)
        row = only(tmp_path / "archives")
        wanted = ("unreadable" if image.endswith(".gz") else "bad_pixels") if cut else "usable"
        assert verdict(row) == outcome(row) == wanted
        assert row["sequence"] == "T1"
        assert row["path"] == str(tmp_path / "archives" / archive)
        assert row["n_files"] == 1


def test_voxels_that_their_archive_lacks(tmp_path: Path) -> None:
    packed(metaimage(tmp_path / "a.mhd")[:1], tmp_path / "archives" / "a.zip")
    assert agreed(tmp_path / "archives") == "no_pixels"


def test_several_images_in_an_archive(tmp_path: Path) -> None:
    files = [nifti(tmp_path / "inner" / f"{number}.nii") for number in range(2)]
    packed(files, tmp_path / "archives" / "a.zip")
    assert agreed(tmp_path / "archives") == "several_series"


def test_an_image_beside_dicom_in_an_archive_is_not_read(tmp_path: Path) -> None:
    files = [*series(tmp_path / "inner", "1.1"), nifti(tmp_path / "inner" / "a.nii")]
    packed(files, tmp_path / "archives" / "a.zip")
    assert agreed(tmp_path / "archives") == "usable"
    assert only(tmp_path / "archives")["series_uid"] == "1.1"


def test_a_folder_in_which_nothing_lies_is_a_place_without_a_row(tmp_path: Path) -> None:
    """Its row is made of all places together: see test_imageless.py."""
    (tmp_path / "subject" / "visit").mkdir(parents=True)
    (found,) = surveys(tmp_path)
    assert found.place.path == str(tmp_path / "subject" / "visit")
    assert (found.rows, found.n_files, found.settled, bool(found.place.stamp)) == ((), 0, True, True)
