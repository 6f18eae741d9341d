"""Grades of SPIDER as labels of ours: each code is known, and none says more than it may."""

from __future__ import annotations

from pathlib import Path

import pytest

from spinenet.anatomy import FINDINGS
from spinenet.errors import LabelsError
from spinenet.training.labels.gradings import Gradings, read_gradings, spider_mapping

HEADER = (
    "patient,disc,modic,upper_endplate,lower_endplate,spondylolisthesis,herniation,narrowing,bulging,"
    "pfirrmann"
)


def table(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "gradings.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_each_code_leaves_classes_that_there_are() -> None:
    named = {
        finding
        for column in spider_mapping()["columns"].values()
        for codes in column["codes"].values()
        for finding in codes
    }
    assert {finding.name for finding in FINDINGS} - named == {
        "central_canal_stenosis",
        "foraminal_stenosis_left",
        "foraminal_stenosis_right",
    }


@pytest.mark.parametrize(
    ("disc", "level"), [("1", "L5-S1"), ("201", "L5-S1"), ("2.0", "L4-L5"), ("6", "T12-L1"), ("9", "T9-T10")]
)
def test_discs_are_numbered_from_the_bottom(tmp_path: Path, disc: str, level: str) -> None:
    graded = read_gradings(table(tmp_path, f"12,{disc},0,0,0,0,0,0,0,5"))
    assert list(graded["12"].discs) == [level]
    assert graded["12"].discs[level]["pfirrmann"] == 4


def test_empty_cells_say_nothing(tmp_path: Path) -> None:
    assert read_gradings(table(tmp_path, "12,1,,,,,,,,2"))["12"] == Gradings({"L5-S1": {"pfirrmann": 1}}, {})
    assert read_gradings(table(tmp_path, "12,1,,,,,,,1,")) == {}


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("12,1,4,0,0,0,0,0,0,5", "line 2 of gradings.csv holds '4' as 'modic'; known are 0, 1, 2, 3"),
        ("12,0,0,0,0,0,0,0,0,5", "line 2 of gradings.csv grades a disc '0' that there is not"),
        ("12,1,0,0,0,0,0,0,0,x", "line 2 of gradings.csv holds 'x' where a whole number is needed"),
        ("12,24,0,0,0,0,0,0,0,5", "grades a disc '24' that there is not"),
    ],
)
def test_what_is_no_grade_is_refused(tmp_path: Path, row: str, why: str) -> None:
    with pytest.raises(LabelsError, match=why):
        read_gradings(table(tmp_path, row))


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabelsError, match=r"gradings\.csv has no column 'Pfirrman grade'"):
        read_gradings(table(tmp_path, header=HEADER.removesuffix(",pfirrmann")))
