"""Addresses: a protocol makes a URL, one that opens another filesystem a chain; all else is a path."""

from __future__ import annotations

import os
from pathlib import Path

import fsspec
import pytest

from spinenet.cohort.manifests.manifest import resolve_path
from spinenet.storage.addresses import is_url, open_address


@pytest.mark.parametrize(
    "name",
    ["a::b", "zip::c", "c*[d]?", "50%20", "#1", "-r", " e ", "s3:x", "file:x", os.fsdecode(b"M\xfcller")],
)
def test_any_name_is_a_path_of_this_machine(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).mkdir()
    fs, path = open_address(str(tmp_path / name))
    assert (fs.isdir(path), path) == (True, str(tmp_path / name))
    if name != "zip::c":
        monkeypatch.chdir(tmp_path)
        fs, path = open_address(name)
        assert fs.isdir(path)
        assert resolve_path(name, str(tmp_path / "m.csv")) == str(tmp_path / name)


def test_two_colons_in_a_bucket_are_no_chain() -> None:
    fs, path = open_address("memory://addresses/a::b/c")
    assert (fs.protocol, path.lstrip("/")) == ("memory", "addresses/a::b/c")


def test_a_chain_is_opened(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("inner.txt", "held")
    fs, path = open_address(f"zip://inner.txt::{tmp_path}/a.zip")
    assert fs.cat_file(path) == b"held"
    assert is_url("simplecache::s3://bucket/key")
    assert not is_url("sub::01")


def test_unknown_protocols_are_refused() -> None:
    with pytest.raises((ValueError, ImportError)):
        open_address("nonsense://bucket")
    assert fsspec.filesystem("file").protocol == ("file", "local")
