"""Which series is graded follows from rules that are data; those that make no sense are one clear error."""

from __future__ import annotations

from typing import Any

import pytest

from spinenet.errors import RulesError
from spinenet.index.rows import Row
from spinenet.index.rules import Rules, choose, load_rules, region_of
from spinenet.index.schema import NUMBERS, SERIES


def rules(text: str | None = None) -> Rules:
    return load_rules(text, SERIES.names, NUMBERS)


def row(**values: Any) -> Row:
    given = {
        "usable": True,
        "sequence": "T2",
        "plane": "sagittal",
        "description": "t2 sag lumbar",
        "body_part": "SPINE",
        "slices": 15,
        "series_uid": "1.2",
        "rows": 400,
        "reason": None,
        "detail": None,
    }
    return given | values


def purposes(rows: list[Row], text: str | None = None) -> list[str | None]:
    return [one["purpose"] or one["reason"] for one in choose(rows, rules(text))]


def test_the_t2_of_the_lumbar_spine_is_graded() -> None:
    rows = [
        row(sequence="T1", description="t1 sag lumbar"),
        row(description="t2 sag cervical"),
        row(description="t2 sag"),
        row(),
        row(description="t2 sag whole"),
        row(usable=False, reason="too_few_slices", detail="few"),
        row(plane="axial", description="t2 ax lumbar"),
    ]
    chosen = choose(rows, rules())
    assert [one["purpose"] for one in chosen] == [
        *["detection"] * 3,
        "grading",
        "detection",
        None,
        "detection",
    ]
    assert chosen[3]["choice"] == "sagittal T2 of the lumbar spine"
    assert chosen[5]["reason"] == "too_few_slices"
    assert rows[3].keys() == row().keys(), "rows are changed in place"


@pytest.mark.parametrize(
    ("left", "choice"),
    [
        (0, "sagittal T2 of the lumbar spine"),
        (1, "sagittal T2 of the whole spine"),
        (2, "sagittal T2 of a region that is not stated"),
        (3, "sagittal T2 with fat suppression, or of a Dixon series, not of the neck or chest alone"),
    ],
)
def test_rules_are_asked_in_their_order(left: int, choice: str) -> None:
    rows = [
        row(),
        row(description="t2 sag whole"),
        row(description="t2 sag", body_part=None),
        row(description="t2 fs sag lumbar"),
    ]
    (graded,) = (one for one in choose(rows[left:], rules()) if one["purpose"] == "grading")
    assert graded["choice"] == choice


def test_nothing_that_any_rule_wants() -> None:
    chosen = choose([row(sequence="T1", description="t1 sag lumbar")], rules())
    assert [(one["purpose"], one["reason"]) for one in chosen] == [("detection", None)]
    assert choose([], rules()) == []


def test_what_is_level_is_left_to_the_user() -> None:
    rows = [row(series_uid=f"1.{i}", slices=10 + i) for i in range(2)] + [row(sequence="T1")]
    chosen = choose(rows, rules())
    assert [one["purpose"] for one in chosen] == [None, None, "detection"]
    for one in chosen[:2]:
        assert one["reason"] == "several_series"
        assert "T2 t2 sag lumbar 10 slices, UID 1.0; T2 t2 sag lumbar 11 slices, UID 1.1" in one["detail"]
        assert one["choice"] == "one of 2: sagittal T2 of the lumbar spine"


def test_long_lists_of_candidates_are_cut() -> None:
    chosen = choose([row(series_uid=f"1.{i}") for i in range(12)], rules())
    assert chosen[0]["detail"].endswith("and 4 more")
    assert chosen[0]["detail"].count("UID") == 8


@pytest.mark.parametrize(
    ("prefer", "graded"), [('["slices"]', 1), ('["-slices"]', 0), ('["rows", "slices"]', 2), ('["rows"]', 2)]
)
def test_ties_are_broken_by_what_is_preferred(prefer: str, graded: int) -> None:
    text = f'prefer = {prefer}\n[[grading]]\nsequence = "T2"'
    rows = [row(slices=10, rows=None), row(slices=20), row(slices=15, rows=512)]
    assert [one == "grading" for one in purposes(rows, text)] == [place == graded for place in range(3)]


@pytest.mark.parametrize(
    ("conditions", "meets"),
    [
        ('sequence = "T2"', True),
        ('sequence = ["T1", "T2"]', True),
        ('sequence = "T1"', False),
        ("slices = { least = 15 }", True),
        ("slices = { least = 16 }", False),
        ("slices = { least = 10, most = 15 }", True),
        ("slices = { most = 14 }", False),
        ("field_of_view_height_mm = { least = 1 }", False),
        ('model = ""', True),
        ("slices = 15", True),
        ('without = ["lumbar"]', False),
        ('without = ["umba"]', True),
        ('region = ["lumbar"]\n[regions]\nlumbar = ["lumbar"]', True),
    ],
)
def test_conditions(conditions: str, meets: bool) -> None:
    text = f"[detection]\nsequence = []\n[[grading]]\n{conditions}\n"
    assert (purposes([row()], text) == ["grading"]) == meets


@pytest.mark.parametrize(
    ("said", "region"),
    [
        ({"description": "t2 sag lws"}, "lumbar"),
        ({"description": "t2 whole lumbar"}, "whole"),
        ({"description": "", "body_part": "CSPINE"}, "cervical"),
        ({"description": None, "body_part": None}, ""),
        ({"description": "t2 lumbarish"}, ""),
    ],
)
def test_regions(said: Row, region: str) -> None:
    assert region_of(said, rules()) == region


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("prefer = [", "no TOML"),
        ("grade = 1", "grade"),
        ('[[grading]]\nsequenze = "T2"', "sequenze"),
        ('[detection]\nsite = "leeds"', "site"),
        ('prefer = ["site"]', "site"),
        ('prefer = ["description"]', "description"),
        ('prefer = "slices"', "prefer"),
        ("[[grading]]\nslices = { atleast = 1 }", "atleast"),
        ('[[grading]]\nslices = { least = "many" }', "slices"),
        ("[[grading]]\nplane = { least = 1 }", "plane"),
        ('[grading]\nsequence = "T2"', "[[grading]]"),
        ("grading = [1]", "[[grading]]"),
        ('regions = ["lumbar"]', "regions"),
        ('[regions]\nlumbar = "lumbar"', "lumbar"),
        ('[[grading]]\nwithout = "fat"', "without"),
    ],
)
def test_rules_that_make_no_sense(text: str, told: str) -> None:
    with pytest.raises(RulesError) as caught:
        rules(text)
    assert told in str(caught.value)
    # TOML's own message may name a line
    assert str(caught.value).count("\n") == 0
