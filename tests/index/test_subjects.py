"""Subjects are named by where they lie, by a table, or by a keyed hash that leaves no trace of PatientID."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from trees import series

from spinenet.index.subjects import folder_subject, keyed_subject, listed_subjects

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
    assert listed_subjects(table, "/data/")(path) == subject


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
