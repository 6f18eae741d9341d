"""What is graded below a root, and what is found there at all, whatever form it lies in."""

from __future__ import annotations

import bz2
import json
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from spinenet.index.catalogue import choose_all
from spinenet.index.imageless import imageless_rows
from spinenet.index.inventory import Inventory
from spinenet.index.places import find_places
from spinenet.index.rules import load_rules
from spinenet.index.schema import NUMBERS, SERIES
from spinenet.index.subjects import folder_subjects
from spinenet.index.survey import survey
from spinenet.synthetic.dicom import write_series
from spinenet.synthetic.enhanced import write_enhanced
from spinenet.types import Scan
from support.cases import Case
from support.drawn_series import drawn_series, plane, save_series

LOCAL = fsspec.filesystem("file")
AFFINE = np.diag([-1, -1, 1, 1.0]) @ [[0, 0, 4, -16], [0, 1.5, 0, -120], [-1.5, 0, 0, 150], [0, 0, 0, 1.0]]
IMAGE = np.stack([plane((-16 + 4 * number, -120, 150)) for number in range(9)], -1).astype("i2")
MASK = (IMAGE > 1000).astype("u1")


def told(root: Path) -> str:
    """Each path: its subject where it is graded, else the sequence or the reason."""
    found = Inventory()
    for place in find_places(LOCAL, str(root)):
        found.add(survey(LOCAL, place))
    rules = load_rules(None, SERIES.names, NUMBERS)
    rows = found.rows.copy()
    rows.extend(imageless_rows(LOCAL, str(root), found.places.values()))
    subject_of = folder_subjects(str(root), (row["path"] for row in rows), rules.folders)
    return "; ".join(
        f"{row['path'].removeprefix(str(root)).strip('/')} "
        + (
            f"graded as {row['subject_id']}"
            if row["purpose"] == "grading"
            else row["reason"] or row["sequence"]
        )
        for row in sorted(choose_all(rows, rules, subject_of, str(root)), key=lambda row: row["path"])
    )


def coded(meaning: str) -> list[Dataset]:
    """A coded region."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "1", "99LOCAL", meaning
    return [item]


def framed(meaning: str) -> Callable[[Path], str]:
    """A file of many frames that state the region among their functional groups."""

    def make(folder: Path) -> str:
        (folder / "a").mkdir()
        scan = Scan(IMAGE.astype("f4"), (1.5, 1.5), 4.0, AFFINE, "T2")
        tags = {"patient_id": "P1", "study_uid": "1.2.3", "series_uid": "1.2.4", "description": "t2_tse_sag"}
        classic = write_series(folder / ".made", scan, **tags)
        write_enhanced(folder / "a" / "e.dcm", classic)
        data = pydicom.dcmread(folder / "a" / "e.dcm")
        del data.BodyPartExamined
        anatomy = Dataset()
        anatomy.AnatomicRegionSequence = coded(meaning)
        data.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [anatomy]
        data.save_as(folder / "a" / "e.dcm")
        return told(folder)

    return make


def stated(**tags: Any) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        save_series(folder / "a", drawn_series(**tags))
        return told(folder)

    return make


def images(files: dict[str, object]) -> Callable[[Path], str]:
    """NIfTI files by name, and JSON where a value is none."""

    def make(folder: Path) -> str:
        for name, held in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(held, dict):
                path.write_text(json.dumps(held), encoding="utf-8")
            else:
                kind: Any = nibabel.Nifti1Pair if path.suffix == ".img" else nibabel.Nifti1Image
                nibabel.save(kind(held, AFFINE), path)
        return told(folder)

    return make


def two_sites(folder: Path) -> str:
    for site in ("siteA", "siteB"):
        save_series(folder / site / "P1" / "t2", drawn_series(f"1.2.{len(site)}.{ord(site[-1])}"))
    return told(folder)


def packed_as(name: str, pack: Callable[[Path, list[Path]], None]) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        # what is hidden is passed over
        paths = save_series(folder / ".made", drawn_series())
        (folder / "a").mkdir()
        pack(folder / "a" / name, paths)
        return told(folder)

    return make


def zipped(path: Path, files: list[Path]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for file in files:
            archive.write(file, file.name)


def zip_in_zip(path: Path, files: list[Path]) -> None:
    inner = files[0].with_name("inner.zip")
    zipped(inner, files)
    zipped(path, [inner])


def with_prefix(path: Path, files: list[Path]) -> None:
    zipped(path, files)
    path.write_bytes(b"MZ" + bytes(1000) + path.read_bytes())


def tar_xz(path: Path, files: list[Path]) -> None:
    with tarfile.open(path, "w:xz") as archive:
        for file in files:
            archive.add(file, file.name)


def one_by_one(change: Callable[[bytes], bytes]) -> Callable[[Path, list[Path]], None]:
    def pack(path: Path, files: list[Path]) -> None:
        for file in files:
            path.with_name(file.name + path.suffix).write_bytes(change(file.read_bytes()))

    return pack


def link_farm(folder: Path) -> str:
    for number in range(3):
        save_series(folder / f"study{number}" / "ser", drawn_series(f"1.2.{number + 5}"))
    for number in range(3):
        for other in {0, 1, 2} - {number}:
            (folder / f"study{number}" / f"related{other}").symlink_to(folder / f"study{other}")
    return told(folder)


def written(name: str, data: bytes) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        (folder / name).write_bytes(data)
        return told(folder)

    return make


NAMELESS = {"SeriesDescription": "t2_tse_sag", "ProtocolName": "t2_tse_sag"}
GRADED, OTHER = "a graded as a", "a other_body_part"
GRE = {"EchoTime": 0.0049, "RepetitionTime": 0.4, "ScanningSequence": "GR"}

CASES = (
    *(
        Case(f"body part {part}", GRADED, OTHER, stated(BodyPartExamined=part, **NAMELESS))
        for part in ("HEAD", "KNEE", "PROSTATE", "PELVIS", "SHOULDER", "BRAIN", "Knie links", "ABDOMEN")
    ),
    *(
        Case(f"body part {part!r}", GRADED, GRADED, stated(BodyPartExamined=part, **NAMELESS))
        for part in ("LSPINE", "L-SPINE", "WIRBELSAEULE", "LWS", "", "BODY")
    ),
    *(
        Case(f"coded region {part}", GRADED, right, stated(AnatomicRegionSequence=coded(part), **NAMELESS))
        for part, right in (("Knee", OTHER), ("Brain", OTHER), ("Pelvis", OTHER), ("Lumbar spine", GRADED))
    ),
    Case(
        "body part LSPINE, coded region Knee",
        GRADED,
        OTHER,
        stated(BodyPartExamined="LSPINE", AnatomicRegionSequence=coded("Knee")),
    ),
    *(
        Case(f"many frames in one file, each of a {part}", GRADED, right, framed(part))
        for part, right in (("Knee", "a/e.dcm other_body_part"), ("Lumbar spine", "a/e.dcm graded as a"))
    ),
    Case("abdomen, description of a lumbar spine", GRADED, GRADED, stated(BodyPartExamined="ABDOMEN")),
    Case("knee, description of a lumbar spine", GRADED, OTHER, stated(BodyPartExamined="KNEE")),
    Case("no body part, description of a knee", GRADED, OTHER, stated(SeriesDescription="t2 sag knee")),
    Case(
        "masks of BIDS",
        "derivatives/l/sub-01/sub-01_T2w_seg.nii.gz several_series; sub-01/sub-01_T2w.nii.gz several_series",
        "derivatives/l/sub-01/sub-01_T2w_seg.nii.gz not_image; sub-01/sub-01_T2w.nii.gz graded as sub-01",
        images({"sub-01/sub-01_T2w.nii.gz": IMAGE, "derivatives/l/sub-01/sub-01_T2w_seg.nii.gz": MASK}),
    ),
    Case(
        "a mask by its values alone",
        "sub-01/sub-01_T2w.nii.gz graded as sub-01",
        "sub-01/sub-01_T2w.nii.gz not_image",
        images({"sub-01/sub-01_T2w.nii.gz": MASK}),
    ),
    Case(
        "an image among derivatives",
        "derivatives/p/sub-01_T2w.nii.gz graded as sub-01",
        "derivatives/p/sub-01_T2w.nii.gz derived",
        images({"derivatives/p/sub-01_T2w.nii.gz": IMAGE}),
    ),
    Case(
        "a gradient echo by its JSON file",
        "sub-01/sub-01_MEGRE.nii.gz T1",
        "sub-01/sub-01_MEGRE.nii.gz other",
        images({"sub-01/sub-01_MEGRE.nii.gz": IMAGE, "sub-01/sub-01_MEGRE.json": GRE}),
    ),
    Case(
        "a knee by a JSON file at the top",
        "sub-01/anat/sub-01_T2w.nii.gz graded as sub-01",
        "sub-01/anat/sub-01_T2w.nii.gz other_body_part",
        images({"sub-01/anat/sub-01_T2w.nii.gz": IMAGE, "T2w.json": {"BodyPartExamined": "KNEE"}}),
    ),
    Case(
        "equal names in two datasets",
        "x/sub-01/sub-01_T2w.nii.gz several_series; y/sub-01/sub-01_T2w.nii.gz several_series",
        "x/sub-01/sub-01_T2w.nii.gz graded as x_sub-01; y/sub-01/sub-01_T2w.nii.gz graded as y_sub-01",
        images({f"{site}/sub-01/sub-01_T2w.nii.gz": IMAGE for site in "xy"}),
    ),
    Case(
        "equal names at two sites",
        "siteA/P1/t2 graded as siteA; siteB/P1/t2 graded as siteB",
        "siteA/P1/t2 graded as siteA_P1; siteB/P1/t2 graded as siteB_P1",
        two_sites,
    ),
    Case("zip in a zip", "", "a/p.zip graded as a", packed_as("p.zip", zip_in_zip)),
    Case(
        "zip with something before it",
        "a/p.zip graded as a",
        "a/p.zip graded as a",
        packed_as("p.zip", with_prefix),
    ),
    Case("zip without a suffix", "", "a/p graded as a", packed_as("p", zipped)),
    Case("program with a zip in it", "", "a/p.exe graded as a", packed_as("p.exe", with_prefix)),
    Case("tar packed with xz", "", "a/p.tar.xz graded as a", packed_as("p.tar.xz", tar_xz)),
    Case("files packed with bzip2", "", "a graded as a", packed_as("p.bz2", one_by_one(bz2.compress))),
    Case("files packed with xz", "", "a graded as a", packed_as("p.xz", one_by_one(lzma.compress))),
    Case("NIfTI pair", "", "a_T2w.hdr graded as a_T2w", images({"a_T2w.img": IMAGE})),
    *(
        Case(f"{name}", "", f"{name} unsupported_format", written(name, data))
        for name, data in {
            "p.7z": b"7z\xbc\xaf\x27\x1c\0\4",
            "p.rar": b"Rar!\x1a\x07\x01\0",
            "p.nrrd": b"NRRD0004\n",
            "p.mnc": b"\x89HDF\r\n\x1a\n",
            "p.par": b"# === DATA DESCRIPTION FILE ===",
            "p.mgz": b"\0",
            "p.zst": b"\x28\xb5\x2f\xfd",
            "pointer.dcm": b"version https://git-lfs.github.com/spec/v1\n",
        }.items()
    ),
    Case("notes", "", " not_dicom", written("notes.txt", b"no image")),
    Case(
        "studies that link to one another",
        "not through after a minute",
        "; ".join(f"study{n}/ser graded as study{n}" for n in range(3)),
        link_farm,
    ),
)


@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_graded_and_found(case: Case, tmp_path: Path) -> None:
    folder = tmp_path / "root"
    folder.mkdir()
    assert case.outcome(folder) == case.right
