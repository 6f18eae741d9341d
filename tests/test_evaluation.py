"""Scores: perfect tables score one, and each kind of error lowers its own figure only."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from spinenet.evaluation import balanced_accuracy, score_against_truth
from spinenet.synthetic.cohort import disc_truth, vertebra_truth
from spinenet.synthetic.image import render


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("truth")
    phantoms = {f"s{seed}": render(seed) for seed in (1, 2)}
    rows = [row for name, phantom in phantoms.items() for row in vertebra_truth(name, phantom)]
    discs = [row for name, phantom in phantoms.items() for row in disc_truth(name, phantom)]
    pd.DataFrame(rows).to_parquet(folder / "vertebrae.parquet")
    pd.DataFrame(discs).to_parquet(folder / "discs.parquet")
    return folder


def tables(truth: Path) -> SimpleNamespace:
    vertebrae = pd.read_parquet(truth / "vertebrae.parquet")
    whole = vertebrae[vertebrae.share_in_view >= 0.5].reset_index(drop=True)
    return SimpleNamespace(vertebrae=whole, grades=pd.read_parquet(truth / "discs.parquet"))


def test_the_truth_scores_one(truth: Path) -> None:
    score = score_against_truth(tables(truth), truth)
    assert (score.recall, score.precision, score.level_accuracy, score.corner_error_mm) == (1, 1, 1, 0)
    assert set(score.balanced_accuracy.values()) == {1.0}
    assert score.discs >= 10


def test_order_of_rows_does_not_matter(truth: Path) -> None:
    given = tables(truth)
    given.vertebrae = given.vertebrae.sample(frac=1, random_state=1)
    given.grades = given.grades.sample(frac=1, random_state=1)
    assert score_against_truth(given, truth) == score_against_truth(tables(truth), truth)


def test_a_missed_vertebra_lowers_recall_alone(truth: Path) -> None:
    given = tables(truth)
    n = len(given.vertebrae)
    given.vertebrae = given.vertebrae.iloc[1:]
    score = score_against_truth(given, truth)
    assert score.recall == pytest.approx((n - 1) / n)
    assert score.precision == 1


def test_an_invented_vertebra_lowers_precision_alone(truth: Path) -> None:
    given = tables(truth)
    invented = given.vertebrae.iloc[[0]].copy()
    invented[[c for c in invented if c.endswith("_x")]] += 150
    n = len(given.vertebrae)
    given.vertebrae = pd.concat([given.vertebrae, invented])
    score = score_against_truth(given, truth)
    assert score.precision == pytest.approx(n / (n + 1))
    assert score.recall == 1


def test_shifted_levels_lower_level_accuracy_alone(truth: Path) -> None:
    given = tables(truth)
    given.vertebrae["level"] = given.vertebrae.groupby("scan_id")["level"].shift(1).fillna("C2")
    score = score_against_truth(given, truth)
    assert score.level_accuracy == 0
    assert score.recall == 1


def test_corner_error_is_in_millimetres(truth: Path) -> None:
    given = tables(truth)
    given.vertebrae["rt_x"] += 2 / given.vertebrae["column_spacing_mm"]
    for corner in ("rb", "lb", "lt"):
        given.vertebrae[f"{corner}_y"] += 2 / given.vertebrae["row_spacing_mm"]
    assert score_against_truth(given, truth).corner_error_mm == pytest.approx(2)


def test_balanced_accuracy_weighs_classes_alike() -> None:
    assert balanced_accuracy([0] * 90 + [1] * 10, [0] * 100) == pytest.approx(0.5)
    assert np.isnan(balanced_accuracy([], []))
