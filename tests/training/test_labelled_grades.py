"""Figures of grades on discs that a reader graded, some of them only as absent or present."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from spinenet.errors import RecipeError
from spinenet.synthetic.image import render
from spinenet.training.labelled_grades import (
    GradedDisc,
    balanced_accuracy,
    grade_figures,
    labelled_grade_figures,
    quadratic_kappa,
)
from spinenet.training.recipe import parse_recipe, with_data


def discs(finding: str, pairs: Sequence[tuple[tuple[int, ...], int]]) -> list[GradedDisc]:
    return [GradedDisc(f"p{k % 7}", finding, allowed, answer) for k, (allowed, answer) in enumerate(pairs)]


def test_kappa_and_balanced_accuracy_of_known_tables() -> None:
    given, answers = np.array([0, 1, 2, 3, 4]), np.array([0, 1, 2, 3, 4])
    assert quadratic_kappa(given, answers) == 1
    assert quadratic_kappa(given, answers[::-1]) == pytest.approx(-1)
    # Cohen 1968: 1 - sum(w o) / sum(w e), here of four pairs by hand: observed 0.25, expected 0.5
    assert quadratic_kappa(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0])) == pytest.approx(0.5)
    assert balanced_accuracy(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])) == pytest.approx((2 / 3 + 1) / 2)


def test_a_scale_has_all_figures_with_intervals() -> None:
    pairs = [((k % 5,), min(k % 5 + (k % 3 == 0), 4)) for k in range(70)]
    figures = grade_figures(discs("pfirrmann", pairs))["pfirrmann"]
    assert (figures["discs"], figures["subjects"]) == (70, 7)
    exact, low, high = figures["exact"]
    assert exact == pytest.approx(np.mean([allowed[0] == answer for allowed, answer in pairs]), abs=1e-4)
    assert low < exact < high
    assert figures["within_one"] == [1, 1, 1]
    assert figures["kappa"][0] > 0.85
    assert figures["spearman"][0] > 0.85


def test_a_scale_of_which_a_reader_said_absent_or_present() -> None:
    absent, present = (0,), (1, 2)
    pairs = [(absent, 0), (absent, 0), (absent, 2), (absent, 1), (present, 1), (present, 2)]
    figures = grade_figures(discs("spondylolisthesis", pairs))["spondylolisthesis"]
    assert figures["balanced_accuracy"][0] == pytest.approx((2 / 4 + 2 / 2) / 2)
    assert "kappa" not in figures


def test_grades_that_share_a_class_are_not_judged() -> None:
    pairs = [((0, 1), 1), ((1, 2, 3), 1)]
    assert grade_figures(discs("narrowing", pairs)) == {"narrowing": {"discs": 2, "subjects": 2}}


def test_one_class_alone_has_no_kappa() -> None:
    figures = grade_figures(discs("pfirrmann", [((2,), 2)] * 10))["pfirrmann"]
    assert figures["kappa"] == [None, None, None]
    assert figures["balanced_accuracy"] == [None, None, None]
    assert figures["exact"] == [1, 1, 1]


def test_figures_of_a_bundle_on_graded_mid_slices(tmp_path: Path) -> None:
    phantom = render(31, kind="lumbar", sequence="T2", balance=0.9)
    middle = phantom.scan.shape[2] // 2
    picture = phantom.scan.volume[:, :, middle]
    (tmp_path / "mid").mkdir()
    cv2.imwrite(
        str(tmp_path / "mid/1_t2.png"), np.clip(picture / picture.max() * 255, 0, 255).astype(np.uint8)
    )
    row_mm, _ = phantom.scan.pixel_spacing
    (tmp_path / "mid.csv").write_text(
        f"image,patient,sequence,row_mm,column_mm\n1_t2.png,1,t2,{row_mm},{row_mm}\n"
    )
    names = ("L5-S1", "L4-L5", "L3-L4", "L2-L3", "L1-L2")
    rows = [
        f"1,{k},0,{phantom.discs[name]['upper_endplate_defect']},{phantom.discs[name]['lower_endplate_defect']},"
        f"0,{phantom.discs[name]['herniation']},0,0,{phantom.discs[name]['pfirrmann'] + 1}"
        for k, name in enumerate(names, start=1)
    ]
    findings = "modic,upper_endplate,lower_endplate,spondylolisthesis,herniation,narrowing,bulging,pfirrmann"
    head = f"patient,disc,{findings}"
    (tmp_path / "gradings.csv").write_text("\n".join([head, *rows]) + "\n")
    quads = {
        v.level: v.quads[v.slices.index(middle)].tolist()
        for v in phantom.vertebrae
        if middle in v.slices and v.level in ("L1", "L2", "L3", "L4", "L5", "S1")
    }
    outlines = tmp_path / "outlines.jsonl"
    outlines.write_text(json.dumps({"name": "mid/1_t2.png", "quads": quads}) + "\n")
    recipe = with_data(
        parse_recipe(
            f"""
            network = "grading"
            steps = 1
            batch = 1
            learning_rate = 1e-3
            architecture = {{}}
            [[sources]]
            kind = "spider_mid"
            path = "."
            [sources.options]
            outlines = "{outlines}"
            split = {{ subjects = {{ test = ["spider-1"] }} }}
            """,
            "here",
        ),
        tmp_path,
    )
    figures = labelled_grade_figures("synthetic", recipe, "test")["groups"]["spider_mid"]
    assert figures["pfirrmann"]["discs"] == len(names)
    # of one subject every resampling is the same
    assert len(set(figures["pfirrmann"]["within_one"])) == 1
    assert {"spondylolisthesis", "herniation", "upper_marrow_change"} <= set(figures)
    with pytest.raises(RecipeError, match="no side of a split"):
        labelled_grade_figures("synthetic", recipe, "tests")
