"""Whether a path alone is gone, or the share that holds it."""

from __future__ import annotations

from pathlib import Path

import pytest

from spinenet.readers.sources.presence import first_missing, look


@pytest.fixture
def share(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        (tmp_path / "share" / "subject" / name).mkdir(parents=True)
        (tmp_path / "share" / "subject" / name / "1.dcm").write_bytes(b"x")
    return tmp_path / "share"


def test_a_scan_that_is_gone_is_missing_alone(share: Path) -> None:
    gone = share / "subject" / "c"
    found = look(str(gone), [str(share / "subject" / "a"), str(share / "subject" / "d")])
    assert (found.there, found.missing, found.seen) == (False, str(gone), 1)


def test_a_share_that_is_gone_is_named(share: Path) -> None:
    share.rename(share.with_name("elsewhere"))
    found = look(str(share / "subject" / "a"), [str(share / "subject" / "b")])
    assert (found.there, found.missing, found.seen) == (False, str(share), 0)


def test_a_share_that_is_not_mounted_leaves_an_empty_folder(share: Path) -> None:
    (share / "subject").rename(share.parent / "elsewhere")
    assert first_missing(share / "subject" / "a") == str(share)
    assert look(str(share / "subject" / "*"), []).missing == str(share)


def test_what_is_there_again_is_there(share: Path) -> None:
    found = look(str(share / "subject" / "a"), [])
    assert (found.there, found.missing) == (True, None)
    assert look(str(share / "subject" / "*"), []).there


def test_a_folder_without_files_is_not_there_though_nothing_is_missing(share: Path) -> None:
    (share / "subject" / "a" / "1.dcm").unlink()
    found = look(str(share / "subject" / "a"), [str(share / "subject" / "b")])
    assert (found.there, found.missing, found.seen) == (False, None, 1)


def test_a_store_without_folders_says_for_certain_what_it_holds() -> None:
    found = look("memory://nobucket/scan", ["memory://nobucket/other"])
    assert (found.there, found.missing, found.seen) == (False, None, 0)
