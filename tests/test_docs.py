"""The site: what its pages take from the code is there, and it builds without warnings or a network."""

from __future__ import annotations

import importlib
import operator
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from spinenet.anatomy import FINDINGS, REASONS, SURROUNDINGS
from spinenet.cohort.tables import TABLES, schema
from spinenet.readers.dicom.facts import FLAGS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(str(file.relative_to(DOCS)) for file in DOCS.glob("**/*.md"))
CODE = r"^\| `([^`]+)` \|"


@pytest.fixture(scope="module")
def made() -> ModuleType:
    """The module that makes text of the code, as the site's settings find it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DOCS))
        return importlib.import_module("made")


def first_cells(table: str) -> list[str]:
    return re.findall(CODE, table, re.MULTILINE)


def test_every_reason_has_advice_and_no_advice_is_left_over(made: ModuleType) -> None:
    advice = made.said("advice.toml")
    assert list(advice) == list(REASONS)
    for code, text in advice.items():
        assert text.endswith("."), code
        assert len(text.split()) > 5, code
    shown = first_cells(made.reasons("surroundings")), first_cells(made.reasons("scan"))
    assert set(shown[0]) == SURROUNDINGS
    assert sorted(shown[0] + shown[1]) == sorted(REASONS)


def test_options_that_the_advice_names_are_there(made: ModuleType) -> None:
    known = set(re.findall(r"`(--[\w-]+)`", made.commands()))
    named = {
        option for text in made.said("advice.toml").values() for option in re.findall(r"`(--[\w-]+)", text)
    }
    assert len(named) >= 4
    assert named <= known


@pytest.mark.parametrize("name", TABLES)
def test_every_column_is_described_and_nothing_else(made: ModuleType, name: str) -> None:
    assert first_cells(made.columns(name)) == schema(name).names
    told = dict(made.spelled_out(made.said("columns.toml")[name]))
    left_over = set(told) - set(schema(name).names)
    # of a binary finding only the last class has a column, and no mean
    assert all(re.search(r"_(p\d|expected)$|^centre_|_z$", column) for column in left_over)
    assert len(left_over) < len(told)
    assert all(text.endswith(".") and "{" not in text for text in told.values())


def test_findings_flags_and_commands_are_all_there(made: ModuleType) -> None:
    assert first_cells(made.findings()) == [finding.name for finding in FINDINGS]
    assert first_cells(made.flags()) == list(FLAGS)
    headings = set(re.findall(r"^#+ `([^`]+)`$", made.commands(), re.MULTILINE))
    assert {"spinenet", "spinenet run", "spinenet status", "spinenet weights fetch"} <= headings


def test_times_are_those_of_the_code(made: ModuleType) -> None:
    pattern = r"^\| `([a-z_.]+)\.([A-Z][\w.]+)` \| ([\d., ]+) \| \w"
    rows = re.findall(pattern, made.times(), re.MULTILINE)
    assert len(rows) == made.times().count("\n") - 1 > 20
    named = {name for _, name, _ in rows}
    assert named >= {"SECONDS_PER_SCAN", "Retries.budget_s"}
    for module, name, seconds in rows:
        value = operator.attrgetter(name)(importlib.import_module(module))
        assert [float(one) for one in seconds.split(", ")] == list(
            value if isinstance(value, tuple) else (value,)
        )


def test_picture_shows_every_room_once_and_above_what_it_needs(made: ModuleType) -> None:
    picture = importlib.import_module("picture")
    below = picture.needs()
    house = picture.floors(below)
    height = {room: floor for floor, names in enumerate(house) for room in names}
    assert sum(map(len, house)) == len(height) == len(below) > 10
    # "types" imports from "anatomy", and a room that stands on nothing lies on the ground
    assert height["types"] > height["anatomy"] == 0
    for room, names in below.items():
        assert all(height[name] < height[room] or room in below[name] for name in names), room
    drawn = made.picture()
    assert all(f">{room}</text>" in drawn for room in below)
    assert {room for _, _, room in picture.WAY if room} == set(picture.COLOURS) <= set(below)


def test_rooms_that_need_each_other_share_a_floor(made: ModuleType) -> None:
    picture = importlib.import_module("picture")
    below = {"a": frozenset(), "b": frozenset("ac"), "c": frozenset("b"), "d": frozenset("c")}
    assert picture.floors(below) == [["a"], ["b", "c"], ["d"]]


@pytest.mark.parametrize("name", PAGES)
def test_what_a_page_asks_for_is_made(made: ModuleType, name: str) -> None:
    text = (DOCS / name).read_text(encoding="utf-8")
    assert text.count("<!-- made:") == len(made.PLACE.findall(text))
    filled = made.filled(text)
    assert "<!-- made:" not in filled
    for place in made.PLACE.finditer(text):
        assert len(made.filled(place[0])) > 100, place[0]


@pytest.mark.docs
def test_site_builds_without_warnings_and_without_a_network(tmp_path: Path) -> None:
    nowhere = {
        name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
    }
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "sphinx",
            "-W",
            "--keep-going",
            "-q",
            "-d",
            tmp_path / "read",
            DOCS,
            tmp_path / "site",
        ],
        env={**os.environ, **nowhere},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    pages = {
        str(f.relative_to(tmp_path / "site")): f.read_text("utf-8") for f in tmp_path.glob("site/**/*.html")
    }
    assert {name.removesuffix(".md") + ".html" for name in PAGES} <= set(pages)
    for name, text in pages.items():
        # opened from a disk, too: nothing is fetched from elsewhere
        fetched = re.findall(r'<(?:script|img|link)[^>]+(?:src|href)="(?:https?:)?//[^"]*"', text)
        assert not fetched, name
    assert all(f">{code}<" in pages["reference/reasons.html"] for code in REASONS)
    assert "<svg" in pages["reference/architecture.html"]
    assert "read_results" in pages["reference/api.html"]
