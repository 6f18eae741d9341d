"""Figures on labelled scans: what is found, named, missed and invented."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from spinenet.synthetic.image import render
from spinenet.training.labelled_score import compare, labelled_figures, share, together
from spinenet.training.labels.labelled import LabelledScan
from spinenet.training.recipe import parse_recipe, with_data
from spinenet.types import Vertebra


def body(level: str, top: float, left: float = 100.0) -> Vertebra:
    quad = np.array([[left + 40, top], [left + 40, top + 30], [left, top + 30], [left, top]])
    return Vertebra((0, 1), np.repeat(quad[None], 2, axis=0), level)


LUMBAR = ("L1", "L2", "L3", "L4", "L5", "S1")
RECIPE = """
network = "detector"
steps = 1
batch = 1
learning_rate = 1e-3
architecture = {}
[[sources]]
kind = "drawn"
[[sources]]
kind = "polygons"
path = "list.jsonl"
options = { source = "drawn", sequence = "T2", split = { subjects = { test = ["a", "b"] } } }
"""
SCAN = LabelledScan(
    volume=np.zeros((300, 280, 2), np.float32),
    spacing_mm=0.5,
    slice_spacing=4.0,
    vertebrae=(body("L3", 60), body("L4", 105), body("L5", 150)),
    open_above=True,
    open_below=True,
    subject="a",
    source="made up",
    sequence="T2",
)


def test_all_bodies_found_and_named() -> None:
    score = compare(SCAN, SCAN.vertebrae)
    assert (score.bodies, score.found, score.named, score.false) == (3, 3, 3, 0)
    assert score.group == "made up T2"
    assert not score.wrong
    assert not score.missed
    assert score.errors_mm == (0.0,) * 12


def test_a_shifted_body_is_found_with_its_error() -> None:
    score = compare(SCAN, [body("L3", 64)])
    assert (score.found, score.named) == (1, 1)
    assert np.allclose(score.errors_mm, 2.0)
    assert score.missed == ("L4", "L5")


def test_another_name_is_wrong_and_a_second_body_is_false() -> None:
    score = compare(SCAN, [body("L3", 60), body("L5", 105), body("L4", 118), body("L1", 130, left=20)])
    assert score.wrong == ("L4 as L5",)
    assert score.named == 1
    assert score.false == 2


def test_what_lies_beyond_the_labelled_bodies_is_not_judged() -> None:
    beyond = [body("L2", 5), body("S1", 210)]
    assert compare(SCAN, beyond).false == 0
    closed = replace(SCAN, open_above=False, open_below=False)
    assert compare(closed, beyond).false == 2


def test_nothing_found() -> None:
    score = compare(SCAN, ())
    assert (score.found, score.false, score.missed) == (0, 0, ("L3", "L4", "L5"))


def test_an_account_has_shares_with_intervals() -> None:
    scores = [compare(SCAN, SCAN.vertebrae), compare(SCAN, [body("L2", 60)])]
    account = together(scores)
    assert (account["scans"], account["bodies"], account["found"], account["named"]) == (2, 6, 4, 3)
    assert account["scans_named_wrongly"] == 1
    value, low, high = account["named_share"]
    assert value == 0.5
    assert low == pytest.approx(0.1181, abs=1e-4)
    assert high == pytest.approx(0.8819, abs=1e-4)
    assert share(0, 0) is None
    assert together([])["corner_error_mm"] is None


def test_figures_of_a_bundle_on_one_side_of_a_recipe(tmp_path: Path) -> None:
    phantom = render(31, kind="lumbar", sequence="T2")
    picture = phantom.scan.volume[:, :, phantom.scan.shape[2] // 2]
    middle = phantom.scan.shape[2] // 2
    cv2.imwrite(str(tmp_path / "one.png"), np.clip(picture / picture.max() * 255, 0, 255).astype(np.uint8))
    polygons = {
        v.level: v.quads[v.slices.index(middle)].tolist()
        for v in phantom.vertebrae
        if v.share_in_view == 1 and middle in v.slices and v.level in LUMBAR
    }
    line = {
        "image": "one.png",
        "subject": "a",
        "spacing_mm": phantom.scan.pixel_spacing,
        "polygons": polygons,
    }
    broken = {**line, "image": "gone.png", "subject": "b"}
    (tmp_path / "list.jsonl").write_text(f"{json.dumps(line)}\n{json.dumps(broken)}\n", encoding="utf-8")
    recipe = with_data(parse_recipe(RECIPE, "here"), tmp_path)
    figures = labelled_figures("synthetic", recipe, "test")
    group = figures["groups"]["drawn T2"]
    assert (group["scans"], group["bodies"]) == (1, len(polygons))
    assert group["found"] == len(polygons) >= 5
    assert group["corner_error_mm"] < 1.5
    assert list(figures["unused"]) == ["gone.png"]
    assert labelled_figures("synthetic", recipe, "train")["groups"] == {}
