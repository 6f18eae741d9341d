"""Subjects are named by where they lie, by a table, or by a keyed hash that leaves no trace of PatientID."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pydicom
import pytest

from spinenet.index.candidates import Folders
from spinenet.index.rules import load_rules
from spinenet.index.schema import NUMBERS, SERIES
from spinenet.index.subjects import folder_subject, folder_subjects, keyed_subject, listed_subjects
from support.trees import series

KEY, OTHER = b"0123456789abcdef", b"fedcba9876543210"


@pytest.mark.parametrize(
    ("root", "path", "subject"),
    [
        ("/data", "/data/anna/mri/t2", "anna"),
        ("/data/", "/data/anna", "anna"),
        ("/data", "/data/sub-01/ses-1/anat/sub-01_ses-1_T2w.nii.gz", "sub-01"),
        ("/data", "/data/leeds/sub-01/anat", "sub-01"),
        ("/data", "/data/derived/sub-01_T2w.nii.gz", "sub-01"),
        ("/data", "/data/anna.zip", "anna"),
        ("/data", "/data/anna.tar.gz", "anna"),
        ("/data", "/data/anna.nii.gz", "anna"),
        ("/data", "/data/anna.MHD", "anna"),
        ("/data", "/data", "data"),
        ("/data/anna.zip", "/data/anna.zip", "anna"),
        ("s3://bucket/data", "s3://bucket/data/anna/t2", "anna"),
    ],
)
def test_folders_name_subjects(root: str, path: str, subject: str) -> None:
    assert folder_subject(root, path) == subject


FOLDERS = load_rules(None, SERIES.names, NUMBERS).folders


@pytest.mark.parametrize(
    ("paths", "subjects"),
    [
        # one dataset: the names alone
        (
            ["sub-01/anat/a.nii", "sub-02/anat/a.nii", "derivatives/labels/sub-01/anat/a_seg.nii"],
            "sub-01 sub-02 sub-01",
        ),
        (["leeds/sub-01/a.nii", "leeds/sourcedata/sub-01/dicom"], "sub-01 sub-01"),
        (["dicom/sub-01/t2", "nifti/sub-01/a.nii", "rawdata/sub-02/a.nii"], "sub-01 sub-01 sub-02"),
        (["anna/t2", "anna/t1", "bert.zip"], "anna anna bert"),
        # several: the dataset too
        (["siteA/sub-01/a.nii", "siteB/sub-01/a.nii"], "siteA_sub-01 siteB_sub-01"),
        (
            ["leeds/sub-01/a.nii", "york/sub-01_T2w.nii", "york/derivatives/x/sub-01/b.nii"],
            "leeds_sub-01 york_sub-01 york_sub-01",
        ),
        (["sub-01/a.nii", "other/sub-01/a.nii"], "sub-01 other_sub-01"),
        (["a/rawdata/sub-01/a.nii", "b/rawdata/sub-01/a.nii"], "a_sub-01 b_sub-01"),
        (["siteA/P1/t2", "siteA/P2/t2", "siteB/P1/t2"], "siteA_P1 siteA_P2 siteB_P1"),
        (["site-1/P1.zip", "site-2/P1.zip"], "site-1_P1 site-2_P1"),
        (["dicom/P1/t2", "dicom/P2/t2"], "P1 P2"),
        (["siteA/*", "siteB/x/*"], "siteA x"),
    ],
)
def test_equal_names_in_two_datasets_are_two_people(paths: list[str], subjects: str) -> None:
    subject_of = folder_subjects("/data", (f"/data/{path}" for path in paths), FOLDERS)
    assert [subject_of(f"/data/{path}") for path in paths] == subjects.split()


def test_without_names_of_folders_only_bids_tells_datasets_apart() -> None:
    paths = ["/data/siteA/P1", "/data/siteB/P1"]
    assert list(map(folder_subjects("/data", paths, Folders()), paths)) == ["siteA", "siteB"]


@pytest.mark.parametrize(
    ("path", "subject"),
    [
        ("/data/a", "one"),
        ("/data/a/deep/er", "one"),
        ("/data/a/b/c", "two"),
        ("/data/ab", "ab"),
        ("/data/c", "three"),
        ("/data/d.zip", "four"),
        ("/data/other/x", "other"),
        ("/data", "data"),
    ],
)
def test_a_table_names_subjects(path: str, subject: str) -> None:
    table = {"a": "one", "a/b/": "two", "/data/c": "three", "d.zip": "four"}
    assert listed_subjects(table, "/data/", partial(folder_subject, "/data/"))(path) == subject


def head(folder: Path, patient: str) -> bytes:
    return series(folder, patient=patient)[0].read_bytes()


def test_keyed_ids(tmp_path: Path) -> None:
    one, two = head(tmp_path / "1", "canary-one"), head(tmp_path / "2", "canary-two")
    subject_of, other_of = keyed_subject(KEY), keyed_subject(OTHER)
    assert subject_of(one) == keyed_subject(KEY)(one) == subject_of(head(tmp_path / "3", " canary-one "))
    names = [subject_of(one), subject_of(two), other_of(one), other_of(two)]
    assert len(set(names)) == 4
    assert all(name and name.startswith("subject-") and "canary" not in name for name in names)


def test_no_id_without_a_patient(tmp_path: Path) -> None:
    assert keyed_subject(KEY)(b"no DICOM") is None
    path = series(tmp_path)[0]
    dataset = pydicom.dcmread(path)
    for value in ("", None, "  "):
        dataset.PatientID = value
        dataset.save_as(path)
        assert keyed_subject(KEY)(path.read_bytes()) is None
    del dataset.PatientID
    dataset.save_as(path)
    assert keyed_subject(KEY)(path.read_bytes()) is None
