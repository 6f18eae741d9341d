"""The account of a manifest before it is run."""

from __future__ import annotations

import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pydicom
import pytest

from spinenet.errors import ManifestError, ScanError
from spinenet.preflight.estimates import estimated_bytes, estimated_seconds
from spinenet.preflight.manifest_check import (
    DUPLICATE,
    EXCLUDED,
    WOULD_RUN,
    Preflight,
    check_manifest,
    n_patches,
)
from spinenet.readers.series import read_scan
from spinenet.synthetic.dicom import uid_from, write_series
from spinenet.types import Scan
from support.tiny_networks import tiny_networks


def write(folder: Path, name: str, spacing_mm: float = 3.0, slices: int = 4, side: int = 96) -> list[Path]:
    """A series of its own for each name, with nothing to see in it."""
    affine = np.array(
        [[0, 0, 4.0, -8], [0, spacing_mm, 0, -100], [-spacing_mm, 0, 0, 120], [0, 0, 0, 1]], float
    )
    volume = np.full((side, side, slices), 7, np.float32)
    scan = Scan(volume, (spacing_mm, spacing_mm), 4.0, affine, "T2")
    uids = {"study_uid": uid_from("study", name), "series_uid": uid_from("series", name)}
    return write_series(folder, scan, patient_id=name, description="t2 sag", **uids)


def names(found: Preflight) -> dict[str, list[str]]:
    return {what: [row.scan_id for row in rows] for what, rows in found.groups.items() if rows}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("preflight")
    for name in ("one", "two", "three"):
        write(folder / name, name)
    for file in write(folder / "no-spacing", "four"):
        dataset = pydicom.dcmread(file)
        del dataset.PixelSpacing
        dataset.save_as(file)
    write(folder / "pair", "five")
    for file in write(folder / "more", "six"):
        file.rename(folder / "pair" / f"six-{file.name}")
    for file in write(folder / "flat", "seven"):
        dataset = pydicom.dcmread(file)
        dataset.Modality = "CT"
        dataset.save_as(file)
    write(folder / "copy", "three")
    with zipfile.ZipFile(folder / "two.zip", "w") as archive:
        for file in write(folder / "other", "eight"):
            archive.write(file, file.name)
    (folder / "m.csv").write_text(
        "scan_id,path,series_uid,exclude,PixelSpacing\n"
        "plain,one,,,\n"
        "archive,two.zip,,,\n"
        "gone,nowhere,,,\n"
        "left-out,nowhere,,motion,\n"
        "copied,three,,,\n"
        "copy,copy,,,\n"
        "again,two,,,\n"
        "and-again,./two,,,\n"
        "bare,no-spacing,,,\n"
        "supplied,no-spacing,,,3 3\n"
        "both,pair,,,\n"
        f"named,pair,{uid_from('series', 'five')},,\n"
        "ct,flat,,,\n"
        "none,nothing/*.dcm,,,\n",
        encoding="utf-8",
    )
    return folder


WANTED = {
    WOULD_RUN: ["plain", "archive", "supplied", "named"],
    DUPLICATE: ["copied", "copy", "again", "and-again"],
    EXCLUDED: ["left-out"],
    "path_missing": ["gone", "none"],
    "missing_tags": ["bare"],
    "not_mr": ["ct"],
    "several_series": ["both"],
}


def test_every_row_is_in_one_group_and_nothing_is_written(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    found = check_manifest(str(folder / "m.csv"))
    assert names(found) == WANTED
    assert found.n_problems == 5
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    told = {row.scan_id: row.detail for row in found.rows}
    assert told["left-out"] == "motion"
    assert "PixelSpacing" in str(told["bare"])
    assert uid_from("series", "five") in str(told["both"])


def test_processes_find_the_same(folder: Path, tmp_path: Path) -> None:
    lines = (folder / "m.csv").read_text(encoding="utf-8").splitlines()
    rows = [f"{i}-{line}" for i in range(6) for line in lines[1:]]
    manifest = folder / "many.csv"
    manifest.write_text("\n".join([lines[0], *rows]), encoding="utf-8")
    try:
        one, two = (check_manifest(str(manifest), processes=n) for n in (1, 2))
    finally:
        manifest.unlink()
    assert one == two
    assert len(one.rows) == 84


def test_what_would_run_is_what_is_read(folder: Path) -> None:
    found = {row.scan_id: row.scan for row in check_manifest(str(folder / "m.csv")).rows}
    scan, seen = read_scan(folder / "one"), found["plain"]
    assert seen is not None
    assert (seen.shape, seen.pixel_spacing) == (scan.shape, scan.pixel_spacing)
    assert seen.n_values == scan.volume.size
    assert seen.n_bytes == sum(file.stat().st_size for file in (folder / "one").iterdir())


def test_estimates_grow_with_the_scans(folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "wide", "wide", spacing_mm=6.0, slices=8)
    (tmp_path / "m.csv").write_text("scan_id,path\na,wide\n", encoding="utf-8")
    (wide,) = check_manifest(str(tmp_path / "m.csv")).scans
    scans = check_manifest(str(folder / "m.csv")).scans
    assert n_patches(wide) > 2 * n_patches(scans[0])
    assert estimated_bytes([*scans, wide]) == estimated_bytes([wide]) > estimated_bytes(scans)
    assert estimated_bytes([]) == 0
    networks = tiny_networks()
    assert estimated_seconds([], networks) == 0
    assert estimated_seconds(scans, networks) > 0


def test_slices_too_small_for_a_window_are_told(tmp_path: Path) -> None:
    write(tmp_path / "tiny", "tiny", side=2)
    (tmp_path / "m.csv").write_text("scan_id,path\na,tiny\n", encoding="utf-8")
    assert names(check_manifest(str(tmp_path / "m.csv"))) == {"too_small": ["a"]}


def test_a_manifest_on_other_storage(folder: Path) -> None:
    memory = fsspec.filesystem("memory")
    files = {f"/check/one/{file.name}": file.read_bytes() for file in (folder / "one").iterdir()}
    memory.pipe({"/check/m.csv": b"scan_id,path\na,one\nb,two.zip\n", **files})
    try:
        found = check_manifest("memory://check/m.csv")
    finally:
        memory.rm("/check", recursive=True)
    assert names(found) == {WOULD_RUN: ["a"], "path_missing": ["b"]}


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="there is no manifest"):
        check_manifest(str(tmp_path / "m.csv"))


def test_the_directory_of_a_disc_is_told_as_reading_tells_it(tmp_path: Path) -> None:
    directory = Path(pydicom.__file__).parent / "data" / "test_files" / "dicomdirtests" / "DICOMDIR"
    (tmp_path / "DICOMDIR").write_bytes(directory.read_bytes())
    (tmp_path / "m.csv").write_text("scan_id,path\na,DICOMDIR\n", encoding="utf-8")
    assert names(check_manifest(str(tmp_path / "m.csv"))) == {"not_image": ["a"]}
    with pytest.raises(ScanError, match="not_image"):
        read_scan(tmp_path / "DICOMDIR")


def test_images_in_archives_are_told_as_they_are_read(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    whole = nibabel.Nifti1Image(np.zeros((4, 96, 96), np.int16), np.diag([4.0, 3.0, 3.0, 1.0])).to_bytes()
    held = {"whole": [whole], "cut": [whole[:-2]], "two": [whole, whole + b"\0"]}
    for name, images in held.items():
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            for number, image in enumerate(images):
                archive.writestr(f"{number}.nii", image)
    lines = ["scan_id,path", *(f"{name},{name}.zip" for name in held)]
    (tmp_path / "m.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    told = {row.scan_id: row.what for row in check_manifest(str(tmp_path / "m.csv")).rows}
    assert told == {"whole": WOULD_RUN, "cut": "bad_pixels", "two": "several_series"}
    for name, what in told.items():
        if what == WOULD_RUN:
            assert read_scan(tmp_path / f"{name}.zip").shape == (96, 96, 4)
        else:
            with pytest.raises(ScanError) as caught:
                read_scan(tmp_path / f"{name}.zip")
            assert caught.value.reason == what
