"""The manifest of an index, and how it is gone on with: what has not changed is not read again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from spinenet.cohort.manifests.manifest import entries, read_manifest
from spinenet.errors import ManifestError
from spinenet.index.catalogue import choose_all, places_name, read_index, write_index
from spinenet.index.inventory import Inventory, places_to_survey, scattered
from spinenet.index.packed import PackedRows
from spinenet.index.places import joined
from spinenet.index.rows import Row
from spinenet.index.rules import load_rules
from spinenet.index.schema import NUMBERS, SERIES
from spinenet.index.subjects import folder_subject, keyed_subject
from spinenet.index.survey import survey
from spinenet.readers.series import read_scan
from support.trees import LOCAL, edit, nifti, packed, series

KEY = b"0123456789abcdef"


class Indexer:
    """What the flow does, in this process, with an account of what was read."""

    def __init__(self, root: Path, out: Path, key: bytes = b"") -> None:
        self.root, self.out, self.key = root, out, key
        self.read: list[str] = []

    def __call__(self) -> list[Row]:
        self.read = []
        subject_of = keyed_subject(self.key) if self.key else None
        made_with = self.key.hex()
        earlier = read_index(str(self.out), made_with)
        found, unchanged = Inventory(), set[str]()
        for place in places_to_survey(LOCAL, str(self.root), earlier, unchanged):
            self.read.append(place.path.removeprefix(str(self.root)).lstrip("/"))
            found.add(survey(LOCAL, place, subject_of))
        found.keep(earlier, unchanged)
        for folders, uids in scattered(found.rows).items():
            found.replace(uids, folders, survey(LOCAL, joined(LOCAL, folders), subject_of).rows)
        rules = load_rules(None, SERIES.names, NUMBERS)
        rows = list(choose_all(found.rows, rules, lambda path: folder_subject(str(self.root), path)))
        write_index(str(self.out), rows, found.places.values(), made_with)
        read: list[dict[str, Any]] = pq.read_table(self.out).to_pylist()
        return read


@pytest.fixture
def index(tmp_path: Path) -> Indexer:
    return Indexer(tmp_path / "root", tmp_path / "manifest.parquet")


def afresh(index: Indexer) -> list[Row]:
    """What an index made from nothing says."""
    return Indexer(index.root, index.out.with_name("fresh.parquet"), index.key)()


def scatter(files: list[Path], root: Path) -> list[Path]:
    """Each file in a folder of its own."""
    folders = []
    for number, file in enumerate(files):
        folder = root / f"slice-{number}"
        folder.mkdir(parents=True)
        file.rename(folder / file.name)
        folders.append(folder)
    return folders


def test_the_manifest_is_one(index: Indexer) -> None:
    series(index.root / "anna" / "t2", "1.1")
    series(index.root / "anna" / "t1", "1.2", sequence="T1", description="t1 sag lumbar")
    series(index.root / "bert" / "a", "1.3")
    series(index.root / "bert" / "b", "1.4", seed=1)
    series(index.root / "carl", "1.5", (12, 10, 2))
    nifti(index.root / "sub-01" / "anat" / "sub-01_T2w.nii.gz")
    index()
    manifest = read_manifest(str(index.out))
    told = {entry.path.removeprefix(str(index.root)): entry for entry in entries(manifest.table)}
    assert {path: (entry.subject_id, entry.excluded) for path, entry in told.items()} == {
        "/anna/t2": ("anna", False),
        "/anna/t1": ("anna", True),
        "/bert/a": ("bert", True),
        "/bert/b": ("bert", True),
        "/carl": ("carl", True),
        "/sub-01/anat/sub-01_T2w.nii.gz": ("sub-01", False),
    }
    assert "several_series" in str(told["/bert/a"].note)
    assert str(told["/carl"].note).startswith("too_few_slices: ")
    assert {field.name for field in manifest.carried} >= {"usable", "reason", "purpose", "choice"}
    for entry in told.values():
        if not entry.excluded:
            assert read_scan(entry.path, series_uid=entry.series_uid).volume.shape[2] >= 3


def test_scan_ids(index: Indexer) -> None:
    for subject in ("anna", "bert"):
        for number in range(3):
            series(
                index.root / subject,
                f"1.{subject == 'anna'}.{number}".replace("True", "1").replace("False", "2"),
            )
    for name in ("a.zip", "b.zip"):
        packed(series(index.root / "carl", "1.9"), index.root / "carl" / name)
    for _ in range(2):
        ids = [row["scan_id"] for row in index()]
        assert len(set(ids)) == len(ids) == 8
    assert ids == [row["scan_id"] for row in afresh(index)]


def test_rows_that_would_share_a_scan_id() -> None:
    row = {"path": "/a", "usable": False, "reason": "unreadable", "detail": "", "places": ["/a"]}
    found = PackedRows([row, dict(row), dict(row)])
    rows = choose_all(found, load_rules(None, SERIES.names, NUMBERS), lambda path: "s")
    assert len({row["scan_id"] for row in rows}) == 3


def test_a_copy_counts_once(index: Indexer) -> None:
    series(index.root / "anna" / "a", "1.1")
    shutil.copytree(index.root / "anna" / "a", index.root / "anna" / "b")
    packed(series(index.root / "bert", "1.1"), index.root / "bert" / "s.zip")
    rows = index()
    assert [(row["path"][-6:], row["usable"], row["reason"]) for row in rows] == [
        ("anna/a", True, None),
        ("anna/b", False, "duplicate_series"),
        ("/s.zip", False, "duplicate_series"),
    ]
    assert rows[0]["purpose"] == "grading"
    # where the first is gone, the second counts
    shutil.rmtree(index.root / "anna" / "a")
    rows = index()
    assert [(row["usable"], row["reason"]) for row in rows] == [(True, None), (False, "duplicate_series")]
    assert index.read == []
    assert rows == afresh(index)


def test_a_scattered_series_is_put_together(index: Indexer) -> None:
    scatter(series(index.root / "new", "1.1"), index.root / "anna" / "mri")
    scatter(series(index.root / "new", "1.2", (12, 10, 7)), index.root / "bert")
    (index.root / "new").rmdir()
    first, second = index()
    assert (first["path"], first["slices"], first["purpose"]) == (f"{index.root}/anna/mri", 4, "grading")
    assert (second["path"], second["slices"], second["purpose"]) == (f"{index.root}/bert", 7, "grading")
    for row in (first, second):
        assert read_scan(row["path"], series_uid=row["series_uid"]).volume.shape[2] == row["slices"]
    assert index() == [first, second]
    assert index.read == []


def test_parts_in_archives_stay(index: Indexer) -> None:
    files = series(index.root / "anna", "1.1", (12, 10, 4))
    for number in range(2):
        packed(files[2 * number : 2 * number + 2], index.root / "anna" / f"{number}.zip")
    assert [(row["reason"], row["slices"]) for row in index()] == [("too_few_slices", 2)] * 2


def test_an_unchanged_tree_is_not_read(index: Indexer) -> None:
    for number in range(3):
        series(index.root / "anna" / str(number), f"1.{number}", sequence=("T1", "T2", "STIR")[number])
    packed(series(index.root / "bert", "1.5"), index.root / "bert" / "s.tgz")
    nifti(index.root / "sub-01" / "sub-01_T2w.nii")
    (index.root / "notes").mkdir()
    (index.root / "notes" / "README").write_text("nothing", encoding="utf-8")
    before = index()
    assert len(index.read) == 6
    assert index() == before
    assert index.read == []
    account = pq.read_table(index.out.with_name(places_name(index.out.name))).to_pylist()
    assert [place["bytes_read"] for place in account] == [0] * 6
    assert sum(len(place["scan_ids"]) for place in account) == len(before) == 5


def touch(folder: Path) -> None:
    for file in folder.iterdir():
        os.utime(file, ns=(0, file.stat().st_mtime_ns + 10**9))


def test_a_changed_folder_is_read_alone(index: Indexer) -> None:
    for number in range(3):
        series(index.root / f"subject-{number}", f"1.{number}")
    before = index()
    edit(
        list((index.root / "subject-1").iterdir()),
        lambda dataset: setattr(dataset, "SeriesDescription", "t1 sag lumbar"),
    )
    touch(index.root / "subject-1")
    after = index()
    assert index.read == ["subject-1"]
    assert [row["description"] for row in after] == ["t2 sag lumbar", "t1 sag lumbar", "t2 sag lumbar"]
    assert after[0] == before[0]
    assert after == afresh(index)


def test_a_folder_that_is_gone_is_gone(index: Indexer) -> None:
    for number in range(3):
        series(index.root / f"subject-{number}", f"1.{number}")
    index()
    shutil.rmtree(index.root / "subject-1")
    assert [row["subject_id"] for row in index()] == ["subject-0", "subject-2"]
    assert index.read == []
    account = pq.read_table(index.out.with_name(places_name(index.out.name))).to_pylist()
    assert [Path(place["place"]).name for place in account] == ["subject-0", "subject-2"]


@pytest.fixture
def scattered_index(index: Indexer) -> Indexer:
    """A series in four folders, one of which also holds a part of another, and a folder of its own."""
    folders = scatter(series(index.root / "new", "1.1"), index.root / "anna")
    more = series(index.root / "new", "1.2")
    for number in range(2):
        for file in more[2 * number : 2 * number + 2]:
            file.rename(folders[3 * number] / file.name)
    series(index.root / "bert", "1.3")
    (index.root / "new").rmdir()
    assert [(row["slices"], row["usable"]) for row in index()] == [(4, True)] * 3
    return index


def test_a_changed_part_of_a_scattered_series(scattered_index: Indexer) -> None:
    touch(scattered_index.root / "anna" / "slice-1")
    rows = scattered_index()
    assert sorted(scattered_index.read) == [f"anna/slice-{number}" for number in range(4)]
    assert [(row["slices"], row["usable"]) for row in rows] == [(4, True)] * 3
    assert rows == afresh(scattered_index)


@pytest.mark.parametrize("gone", ["slice-0", "slice-1", "slice-3"])
def test_a_part_of_a_scattered_series_that_is_gone(scattered_index: Indexer, gone: str) -> None:
    shutil.rmtree(scattered_index.root / "anna" / gone)
    rows = scattered_index()
    assert rows == afresh(scattered_index)
    assert not any(row["slices"] == 4 for row in rows if row["series_uid"] == "1.1")
    assert "bert" not in scattered_index.read
    assert scattered_index() == rows
    assert scattered_index.read == []


def test_all_but_one_part_are_gone(scattered_index: Indexer) -> None:
    for number in range(1, 4):
        shutil.rmtree(scattered_index.root / "anna" / f"slice-{number}")
    rows = scattered_index()
    assert rows == afresh(scattered_index)
    assert {(row["series_uid"], row["reason"]) for row in rows if not row["usable"]} == {
        ("1.1", "too_few_slices"),
        ("1.2", "too_few_slices"),
    }


def test_a_part_that_comes_later(index: Indexer) -> None:
    folders = scatter(series(index.root / "new", "1.1"), index.root / "anna")
    late = folders[3].rename(index.out.with_name("late"))
    (index.root / "new").rmdir()
    assert [row["slices"] for row in index()] == [3]
    late.rename(folders[3])
    rows = index()
    assert [row["slices"] for row in rows] == [4]
    assert rows == afresh(index)


def test_keyed_subjects(index: Indexer) -> None:
    series(index.root / "a", "1.1", patient="canary-one")
    series(index.root / "b", "1.2", patient="canary-one", sequence="T1")
    series(index.root / "c", "1.3", patient="canary-two")
    nifti(index.root / "sub-01" / "sub-01_T2w.nii.gz")
    index.key = KEY
    first = [row["subject_id"] for row in index()]
    assert sorted(index.read)[:3] == ["a", "b", "c"]
    assert len(set(first)) == 3
    assert "sub-01" in first
    assert [row["subject_id"] for row in index()] == first
    assert index.read == []
    index.key = b"another key, as long"
    second = [row["subject_id"] for row in index()]
    assert set(first) & set(second) == {"sub-01"}
    assert len(index.read) == 4, "ids of another key are never taken over"
    for file in (index.out, index.out.with_name(places_name(index.out.name))):
        assert b"canary" not in file.read_bytes()
        assert b"canary" not in repr(pq.read_table(file).to_pylist()).encode()


def test_storage_that_failed_is_asked_again(index: Indexer, monkeypatch: pytest.MonkeyPatch) -> None:
    from spinenet.index import members

    def refuse(fs: object, path: str) -> object:
        raise PermissionError(path)

    series(index.root / "a", "1.1")
    series(index.root / "b", "1.2")
    with monkeypatch.context() as patched:
        patched.setattr(members, "open_file", refuse)
        assert [row["reason"] for row in index()] == ["permission_denied"] * 2
    assert [row["reason"] for row in index()] == [None, None]
    assert index.read == ["a", "b"]


@pytest.mark.parametrize("spoil", ["other", "broken", "lone", "older", "newer"])
def test_an_index_that_cannot_be_gone_on_with(index: Indexer, spoil: str) -> None:
    series(index.root / "a", "1.1")
    before = index()
    account = index.out.with_name(places_name(index.out.name))
    if spoil == "other":
        table = pq.read_table(index.out)
        pq.write_table(table.rename_columns([f"x{name}" for name in table.column_names]), index.out)
    elif spoil == "broken":
        index.out.write_bytes(b"no Parquet")
    elif spoil == "lone":
        account.unlink()
    else:
        # one of the two files was written, the other not
        stays = account if spoil == "older" else index.out
        kept = stays.read_bytes()
        series(index.root / "b", "1.2")
        index()
        stays.write_bytes(kept)
        before = afresh(index)
    assert index() == before
    assert index.read[0] == "a"


@pytest.mark.parametrize("out", ["manifest.xlsx", ".parquet", ".csv", "manifest"])
def test_names_of_manifests(tmp_path: Path, out: str) -> None:
    with pytest.raises(ManifestError):
        read_index(str(tmp_path / out), "")


def test_an_index_in_memory() -> None:
    import fsspec

    fs = fsspec.filesystem("memory")
    row = {"path": "/a", "usable": False, "reason": "unreadable", "detail": "", "places": ["/a"]}
    rows = choose_all(PackedRows([row]), load_rules(None, SERIES.names, NUMBERS), lambda path: "s")
    place = {"place": "/a", "stamp": "x", "n_files": 1, "n_dicom": 1, "n_series": 1, "bytes_read": 1}
    try:
        write_index("memory://index.parquet", rows, [place], "paths")
        found = read_index("memory://index.parquet", "paths")
        assert [row["path"] for row in found.rows] == ["/a"]
        assert len(read_index("memory://index.parquet", "other").rows) == 0
        assert fs.exists("/index.places.parquet")
    finally:
        fs.rm(["/index.parquet", "/index.places.parquet"])
