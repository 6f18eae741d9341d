"""The account of a manifest before it is run."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from spinenet.cohort.check import DUPLICATE, EXCLUDED, MISSING, WOULD_RUN, check_manifest
from spinenet.errors import ManifestError


def test_every_row_is_in_one_group(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
    (tmp_path / "two" / "slice.dcm").write_bytes(b"")
    manifest = tmp_path / "m.csv"
    manifest.write_text(
        "scan_id,path,series_uid,exclude\n"
        "a,one,,\n"
        "b,two/*.dcm,,\n"
        "c,two/*.ima,,\n"
        "d,gone,,\n"
        "e,gone,,motion\n"
        "f,three,1.2,\n"
        "g,three,1.3,\n"
        "h,./one,,\n"
        "i,three,1.2,yes\n",
        encoding="utf-8",
    )
    before = sorted(tmp_path.rglob("*"))
    found = check_manifest(str(manifest))
    assert found.groups == {
        WOULD_RUN: ["b", "f", "g"],
        DUPLICATE: ["a", "h"],
        MISSING: ["c", "d"],
        EXCLUDED: ["e", "i"],
    }
    assert found.n_problems == 2
    assert sum(map(len, found.groups.values())) == found.n_rows == 9
    assert sorted(tmp_path.rglob("*")) == before


def test_a_manifest_on_other_storage() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({"/check/m.csv": b"scan_id,path\na,one.zip\nb,two.zip\n", "/check/one.zip": b""})
    try:
        groups = check_manifest("memory://check/m.csv").groups
    finally:
        memory.rm("/check", recursive=True)
    assert groups == {WOULD_RUN: ["a"], DUPLICATE: [], MISSING: ["b"], EXCLUDED: []}


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="there is no manifest"):
        check_manifest(str(tmp_path / "m.csv"))
