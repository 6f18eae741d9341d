"""Whatever lies below a root: index, preflight and reading say the same of it, and leave nothing out."""

from __future__ import annotations

import bz2
import io
import lzma
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spinenet.errors import ScanError
from spinenet.index.catalogue import choose_all
from spinenet.index.imageless import imageless_rows
from spinenet.index.inventory import Inventory, places_to_survey, scattered
from spinenet.index.places import joined
from spinenet.index.preview import preview
from spinenet.index.rows import Row
from spinenet.index.rules import load_rules
from spinenet.index.schema import NUMBERS, SERIES
from spinenet.index.subjects import folder_subjects
from spinenet.index.survey import survey
from spinenet.readers.series import read_scan
from spinenet.synthetic.dicom import uid_from
from support.trees import LOCAL, metaimage, nifti, packed, series, tar_of

CHOSEN = {"duplicate_series", "several_series", "other_body_part", "derived"}
"""Reasons that the choice gives: the series itself may well be read."""


def indexed(root: Path) -> list[Row]:
    """What an index says of a root."""
    found = Inventory()
    for place in places_to_survey(LOCAL, str(root), Inventory(), set()):
        found.add(survey(LOCAL, place))
    for folders, uids in scattered(found.rows).items():
        found.replace(uids, folders, survey(LOCAL, joined(LOCAL, folders)).rows)
    rules = load_rules(None, SERIES.names, NUMBERS)
    every = found.rows.copy()
    every.extend(imageless_rows(LOCAL, str(root), found.places.values()))
    subject_of = folder_subjects(str(root), (row["path"] for row in every), rules.folders)
    return list(choose_all(every, rules, subject_of, str(root)))


def said(action: Callable[[], object]) -> object:
    try:
        return action()
    except ScanError as error:
        return error.reason


def agree(row: Row) -> None:
    """Fail unless preflight and reading say what the row says."""
    path, uid = row["path"], row.get("series_uid")
    if "?" in path and not Path(path).exists():
        return  # a name that is no text; its row says so
    looked = said(lambda: preview(path, series_uid=uid).shape)
    read = said(lambda: read_scan(path, series_uid=uid).shape)
    if row["usable"]:
        assert looked == read == (row["rows"], row["columns"], row["slices"]), path
    elif row["reason"] not in CHOSEN:
        assert looked == read == row["reason"], path


def files_of(folder: Path, uid: str) -> dict[str, bytes]:
    """A small series in memory."""
    held = {path.name: path.read_bytes() for path in series(folder / "made", uid)}
    shutil.rmtree(folder / "made")
    return held


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def link(folder: Path, to: Path) -> None:
    (folder / "link").symlink_to(to)


def textured(path: Path) -> None:
    """A NIfTI image with as many values as voxels."""
    values = np.arange(5 * 16 * 20, dtype=np.int16).reshape(5, 16, 20)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([4.4, 0.6, 0.7, 1.0])), path)


def pair(path: Path) -> Path:
    values = np.arange(5 * 16 * 20, dtype=np.int16).reshape(5, 16, 20)
    nibabel.save(nibabel.Nifti1Pair(values, np.diag([4.4, 0.6, 0.7, 1.0])), path)
    return path


def removed(*paths: Path) -> None:
    for path in paths:
        path.unlink()


def put(name: str, make: Callable[[dict[str, bytes]], bytes]) -> Callable[[Path, str], object]:
    """What writes one file that is made of a series."""
    return lambda folder, uid: (folder / name).write_bytes(make(files_of(folder, uid)))


def each(change: Callable[[bytes], bytes], suffix: str) -> Callable[[Path, str], None]:
    def write(folder: Path, uid: str) -> None:
        for name, data in files_of(folder, uid).items():
            (folder / f"{name}{suffix}").write_bytes(change(data))

    return write


THINGS: dict[str, Callable[[Path, str], object]] = {
    "series": lambda folder, uid: series(folder, uid),
    "half a series": lambda folder, uid: removed(*series(folder, uid)[:2]),
    "zip": lambda folder, uid: packed(series(folder, uid), folder / "a.zip"),
    "tgz": lambda folder, uid: packed(series(folder, uid), folder / "a.tgz"),
    "zip without a suffix": put("archive", zipped),
    "tar named zip": put("b.zip", tar_of),
    "program with a zip": put("setup.exe", lambda files: b"MZ" + bytes(1000) + zipped(files)),
    "zip with something before it": put("c.zip", lambda files: b"MZ" + bytes(1000) + zipped(files)),
    "zip in a zip": put("d.zip", lambda files: zipped({"inner.zip": zipped(files)})),
    "7z in a zip": put("e.zip", lambda files: zipped({"inner.7z": b"7z\xbc\xaf\x27\x1c"})),
    "tar.xz": put("f.tar.xz", lambda files: lzma.compress(tar_of(files))),
    "tar.bz2 without a suffix": put("g", lambda files: bz2.compress(tar_of(files))),
    "bz2 files": each(bz2.compress, ".bz2"),
    "xz files": each(lzma.compress, ".xz"),
    "DICOM named txt": each(bytes, ".txt"),
    "DICOM named nii": lambda folder, uid: (folder / "h.nii").write_bytes(
        next(iter(files_of(folder, uid).values()))
    ),
    "no zip": lambda folder, uid: (folder / "i.zip").write_bytes(b"no archive"),
    "nifti": lambda folder, uid: textured(folder / f"{uid[-3:]}_T2w.nii.gz"),
    "mask": lambda folder, uid: textured(folder / "j_seg.nii.gz"),
    "label map": lambda folder, uid: nibabel.save(
        nibabel.Nifti1Image(np.arange(1600, dtype=np.uint8).reshape(5, 16, 20) % 7, np.eye(4)),
        folder / "k.nii",
    ),
    "zeros": lambda folder, uid: nifti(folder / "l.nii.gz"),
    "pair": lambda folder, uid: pair(folder / "m.img"),
    "header without voxels": lambda folder, uid: removed(pair(folder / "n.img")),
    "metaimage": lambda folder, uid: metaimage(folder / "o.mhd"),
    "nrrd": lambda folder, uid: (folder / "p.nrrd").write_bytes(b"NRRD0004\n"),
    "7z": lambda folder, uid: (folder / "q").write_bytes(b"7z\xbc\xaf\x27\x1c\0\4"),
    "notes": lambda folder, uid: (folder / "notes.txt").write_text("no image"),
    "readme": lambda folder, uid: (folder / "README").write_text("no image"),
    "nothing": lambda folder, uid: None,
    "hidden": lambda folder, uid: series(folder / ".hidden", uid),
    "link to nothing": lambda folder, uid: link(folder, folder / "absent"),
    "link up": lambda folder, uid: link(folder, folder.parent),
    "empty file": lambda folder, uid: (folder / "r").write_bytes(b""),
}
NAMES = ["a", "b", "sub-01", "a::b", "c*[d]?", "50%", "#1", " e f ", "-r", "ü", "s3:x", os.fsdecode(b"\xfc")]

trees = st.lists(
    st.tuples(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3), st.sampled_from(sorted(THINGS))),
    min_size=1,
    max_size=6,
)


def grow(root: Path, tree: list[tuple[list[str], str]]) -> None:
    for number, (names, thing) in enumerate(tree):
        folder = root.joinpath(*names)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "link").is_symlink() or "link" not in thing:
            THINGS[thing](folder, uid_from("agreement", str(number % 4)))


def accounted(root: Path, rows: list[Row]) -> None:
    """Fail if a folder with files has no row at, below or above it."""
    paths = [
        row["path"].removesuffix("/*").replace("[[]", "[").replace("[*]", "*").replace("[?]", "?")
        for row in rows
    ]
    for folder, _, names in os.walk(root):
        told = folder.encode(errors="replace").decode()
        if "/." in folder.removeprefix(str(root)) or not names:
            continue
        assert any(path.startswith(told) or f"{told}/".startswith(f"{path}/") for path in paths), told


@pytest.mark.parametrize("thing", sorted(THINGS))
def test_one_thing_alone(tmp_path: Path, thing: str) -> None:
    grow(tmp_path / "root", [(["a::b", "c*[d]?"], thing)])
    rows = indexed(tmp_path / "root")
    assert rows
    for row in rows:
        agree(row)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(tree=trees)
def test_trees_of_such_things(tree: list[tuple[list[str], str]]) -> None:
    with tempfile.TemporaryDirectory() as made:
        root = Path(made) / "root"
        grow(root, tree)
        rows = indexed(root)
        for row in rows:
            agree(row)
        accounted(root, rows)


def test_a_farm_of_links_is_gone_through_once(tmp_path: Path) -> None:
    for number in range(4):
        series(tmp_path / f"study{number}" / "ser", f"1.{number}")
    for number in range(4):
        for other in range(4):
            if other != number:
                (tmp_path / f"study{number}" / f"related{other}").symlink_to(tmp_path / f"study{other}")
    rows = indexed(tmp_path)
    assert [(row["subject_id"], row["usable"]) for row in rows] == [(f"study{n}", True) for n in range(4)]
