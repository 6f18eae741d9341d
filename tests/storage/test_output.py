"""A place for results that cannot be written to is told before anything is begun; nothing is left there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from spinenet.errors import OutputError
from spinenet.storage import open_output
from support.mounts import mounted


def a_file(folder: Path) -> Path:
    (folder / "file").write_text("mine", encoding="utf-8")
    return folder / "file"


def below_a_file(folder: Path) -> Path:
    return a_file(folder) / "deep" / "out"


def broken_link(folder: Path) -> Path:
    (folder / "link").symlink_to(folder / "nowhere")
    return folder / "link"


def circle(folder: Path) -> Path:
    (folder / "circle").symlink_to(folder / "circle")
    return folder / "circle" / "out"


def run_is_a_file(folder: Path) -> Path:
    (folder / "out").mkdir()
    (folder / "out" / "_run").write_text("mine", encoding="utf-8")
    return folder / "out"


def long_name(folder: Path) -> Path:
    return folder / ("x" * 300)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (a_file, "is a file, not a folder"),
        (below_a_file, "cannot be made: .* is a file"),
        (broken_link, "is a link that leads nowhere"),
        (circle, "cannot write to|leads nowhere"),
        (run_is_a_file, "_run is a file, not a folder"),
        (long_name, "File name too long"),
        (lambda _: Path("/proc/spinenet/out"), "cannot write to /proc/spinenet/out"),
        (lambda _: Path("/proc"), "cannot write to /proc"),
        (lambda _: Path("/sys/spinenet"), "cannot write to /sys/spinenet"),
        (lambda _: Path("/dev/null"), "is a file, not a folder"),
    ],
)
def test_refused_and_untouched(tmp_path: Path, make: Callable[[Path], Path], told: str) -> None:
    place = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputError, match=told) as caught:
        open_output(str(place), ("_run",))
    assert len(str(caught.value).splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("url", ["", " ", "nonesuch://bucket/out"])
def test_no_place_at_all(url: str) -> None:
    with pytest.raises(OutputError):
        open_output(url)


def test_read_only_mount(tmp_path: Path) -> None:
    folder = tmp_path / "mounted"
    with mounted(folder, "ro"):
        for place in (folder, folder / "deep" / "out"):
            with pytest.raises(OutputError, match=r"Read-only file system; name a folder"):
                open_output(str(place))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_of_somebody_else(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="Permission denied"):
            open_output(str(tmp_path / "out"))
    finally:
        tmp_path.chmod(0o700)


def test_good_places_are_left_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    before = sorted(tmp_path.rglob("*"))
    for place in (tmp_path, tmp_path / "new", tmp_path / "much" / "deeper", tmp_path / "link"):
        assert open_output(str(place), ("_run", "scans")).url() == str(place)
    assert open_output("memory://bucket/out").url() == "memory:///bucket/out"
    assert sorted(tmp_path.rglob("*")) == before
