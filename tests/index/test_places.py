"""Places are found by listing alone: which files lie together, which are not opened, what a change does."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from spinenet.index.places import REFUSED, UNNAMEABLE, as_url, find_places, joined
from spinenet.readers.volumes.sidecars import sidecar_of
from support.trees import LOCAL, nifti, packed, series


def kinds(root: Path, base: str = "", fs: object = LOCAL) -> dict[str, tuple[str, set[str]]]:
    """Place to its kind and the names of its files, all relative to the root."""
    base = base or str(root)
    return {
        place.path.removeprefix(base).lstrip("/"): (
            place.kind,
            {name.removeprefix(base).lstrip("/") for name in place.files},
        )
        for place in find_places(fs, base)
    }


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    series(root / "sub-01" / "t2", "1.2")
    series(root / "sub-01" / "t2" / "deeper", "1.3")
    packed(series(root / "sub-02", "1.4"), root / "sub-02" / "SCAN.ZIP")
    (root / "sub-02" / "SCAN.ZIP").rename(root / "sub-02" / "SCAN.zip")
    packed(series(root / "sub-03", "1.5"), root / "sub-03" / "scan.tgz")
    nifti(root / "sub-04" / "anat" / "sub-04_T2w.nii.gz")
    (root / "sub-04" / "anat" / "sub-04_T2w.json").write_text("{}", encoding="utf-8")
    (root / "sub-04" / "anat" / "other.json").write_text("{}", encoding="utf-8")
    for junk in ("notes.txt", ".hidden", "photo.JPG", "table.csv"):
        (root / "sub-01" / "t2" / junk).write_text("junk", encoding="utf-8")
    (root / ".git").mkdir()
    (root / ".git" / "object").write_text("junk", encoding="utf-8")
    (root / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    # opened, as reading the folder opens them: nothing else is there
    (root / "only-junk").mkdir()
    (root / "only-junk" / "readme.md").write_text("junk", encoding="utf-8")
    return root


WANTED = {
    "": ("folder", {"DICOMDIR"}),
    "only-junk": ("folder", {"only-junk/readme.md"}),
    "sub-01/t2": ("folder", {f"sub-01/t2/1.2-IM{i:04d}.dcm" for i in range(1, 5)}),
    "sub-01/t2/deeper": ("folder", {f"sub-01/t2/deeper/1.3-IM{i:04d}.dcm" for i in range(1, 5)}),
    "sub-02/SCAN.zip": ("archive", {"sub-02/SCAN.zip"}),
    "sub-03/scan.tgz": ("archive", {"sub-03/scan.tgz"}),
    "sub-04/anat/sub-04_T2w.nii.gz": (
        "volume",
        {"sub-04/anat/sub-04_T2w.nii.gz", "sub-04/anat/sub-04_T2w.json"},
    ),
}


def test_a_mixed_tree(tree: Path) -> None:
    assert kinds(tree) == WANTED
    assert list(kinds(tree)) == sorted(WANTED)


def test_a_mixed_tree_in_memory(tree: Path) -> None:
    fs = fsspec.filesystem("memory")
    base = f"/{uuid.uuid4().hex}"
    try:
        fs.put(str(tree), base, recursive=True)
        assert kinds(tree, base, fs) == WANTED
        assert as_url(fs, base).startswith("memory://")
    finally:
        fs.rm(base, recursive=True)


def test_a_single_file_is_a_root(tree: Path) -> None:
    (place,) = find_places(LOCAL, str(tree / "sub-02" / "SCAN.zip"))
    assert (place.kind, place.path) == ("archive", str(tree / "sub-02" / "SCAN.zip"))
    (place,) = find_places(LOCAL, str(tree / "only-junk" / "readme.md"))
    assert list(place.files) == [str(tree / "only-junk" / "readme.md")]
    with pytest.raises(FileNotFoundError):
        list(find_places(LOCAL, str(tree / "absent")))


def stamps(root: Path) -> dict[str, str]:
    return {place.path: place.stamp for place in find_places(LOCAL, str(root))}


@pytest.mark.parametrize("change", ["content", "time", "new", "gone", "renamed"])
def test_stamps_change_with_the_files(tree: Path, change: str) -> None:
    before = stamps(tree)
    assert before == stamps(tree)
    folder = tree / "sub-01" / "t2"
    file = folder / "1.2-IM0001.dcm"
    told = file.stat()
    if change == "content":
        file.write_bytes(file.read_bytes() + b"\0")
        os.utime(file, ns=(told.st_atime_ns, told.st_mtime_ns))
    elif change == "time":
        os.utime(file, ns=(told.st_atime_ns, told.st_mtime_ns + 10**9))
    elif change == "new":
        (folder / "IM9").write_bytes(b"")
    elif change == "gone":
        file.unlink()
    else:
        file.rename(folder / "IM9")
    after = stamps(tree)
    assert {path for path in before if after[path] != before[path]} == {str(folder)}


def test_a_sidecar_is_part_of_the_stamp(tree: Path) -> None:
    before = stamps(tree)
    (tree / "sub-04" / "anat" / "sub-04_T2w.json").write_text('{"EchoTime": 0.1}', encoding="utf-8")
    (tree / "sub-04" / "anat" / "other.json").write_text('{"EchoTime": 0.1}', encoding="utf-8")
    after = stamps(tree)
    assert {path for path in before if after[path] != before[path]} == {
        str(tree / "sub-04" / "anat" / "sub-04_T2w.nii.gz")
    }


def test_links_count_as_what_they_lead_to(tree: Path) -> None:
    linked = tree.parent / "linked"
    linked.mkdir()
    (linked / "sub-01").symlink_to(tree / "sub-01" / "t2")
    (linked / "scan.zip").symlink_to(tree / "sub-02" / "SCAN.zip")
    (linked / "one").mkdir()
    for name in ("up", "self"):
        (linked / "one" / name).symlink_to(linked if name == "up" else linked / "one")
    (linked / "one" / "IM1").symlink_to(tree / "sub-01" / "t2" / "1.2-IM0001.dcm")
    (linked / "one" / "IM2").symlink_to(tree / "absent")
    found = kinds(linked)
    assert {name: kind for name, (kind, _) in found.items()} == {
        "sub-01": "folder",
        "sub-01/deeper": "folder",
        "scan.zip": "archive",
        "one": "folder",
        "one/IM2": "lost",
    }
    assert found["one"][1] == {"one/IM1"}
    (place,) = (place for place in find_places(LOCAL, str(linked)) if place.path.endswith("/one"))
    assert place.files == {
        str(linked / "one" / "IM1"): (tree / "sub-01" / "t2" / "1.2-IM0001.dcm").stat().st_size
    }


def test_pipes_are_left_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert list(find_places(LOCAL, str(tmp_path))) == []


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder and, for its time, a user to whom permissions apply."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    root = os.geteuid() == 0
    try:
        if root:
            os.chown(folder, 65534, 65534)
            os.seteuid(65534)
        yield folder
    finally:
        if root:
            os.seteuid(0)
        shutil.rmtree(folder)


def test_a_folder_that_may_not_be_listed_is_a_place(unprivileged: Path) -> None:
    series(unprivileged / "open")
    (unprivileged / "locked").mkdir(mode=0o000)
    places = {place.path: place.kind for place in find_places(LOCAL, str(unprivileged))}
    assert places == {str(unprivileged / "open"): "folder", str(unprivileged / "locked"): REFUSED}


def test_names_that_are_no_text(tmp_path: Path) -> None:
    bad = os.fsdecode(b"M\xfcller")
    series(tmp_path / bad)
    series(tmp_path / "good")
    shutil.copy(next((tmp_path / "good").iterdir()), tmp_path / "good" / bad)
    nifti(tmp_path / "good" / "a.nii").rename(tmp_path / "good" / f"{bad}.nii")
    places = {place.path.removeprefix(str(tmp_path)): place for place in find_places(LOCAL, str(tmp_path))}
    assert {path: place.kind for path, place in places.items()} == {
        "/M?ller": UNNAMEABLE,
        "/good": "folder",
        "/good/M?ller.nii": UNNAMEABLE,
    }
    assert len(places["/good"].files) == 5


def test_folders_joined_are_one_place(tree: Path) -> None:
    folders = [str(tree / "sub-01" / "t2"), str(tree / "sub-01" / "t2" / "deeper")]
    place = joined(LOCAL, folders)
    assert (place.path, place.kind, len(place.files)) == (folders[0], "folder", 8)
    alone = next(place for place in find_places(LOCAL, str(tree)) if place.path == folders[1])
    assert joined(LOCAL, folders[1:]) == alone


@pytest.mark.parametrize("volume", ["a/s_T2w.nii", "a/s_T2w.nii.gz", "a/s_T2w.mha", "a/s_T2w.NII.GZ"])
def test_the_sidecar_of_a_volume(volume: str) -> None:
    assert sidecar_of(volume) == "a/s_T2w.json"
