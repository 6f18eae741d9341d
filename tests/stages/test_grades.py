"""Probabilities of every finding, and how they are shown."""

from __future__ import annotations

import numpy as np
import pytest

from spinenet.anatomy import FINDINGS
from spinenet.stages.grades import disc_grade, grade_value, published_table


def test_probabilities_of_each_finding_sum_to_one() -> None:
    rng = np.random.default_rng(0)
    logits = [rng.normal(size=f.n_classes) * 20 for f in FINDINGS]
    grade = disc_grade("L4-L5", 7, logits)
    assert list(grade.probabilities) == [f.name for f in FINDINGS]
    for finding, values in zip(FINDINGS, logits, strict=True):
        row = grade.probabilities[finding.name]
        assert row.sum() == pytest.approx(1)
        assert grade_value(grade, finding.name) == finding.values[int(values.argmax())]


def test_other_heads_are_refused() -> None:
    logits = [np.zeros(f.n_classes) for f in FINDINGS]
    with pytest.raises(ValueError, match="zip"):
        disc_grade("L4-L5", 7, logits[:-1])
    with pytest.raises(ValueError, match="pfirrmann has 5 classes"):
        disc_grade("L4-L5", 7, [np.zeros(4), *logits[1:]])


def test_no_discs_make_an_empty_table() -> None:
    rows, columns, values = published_table([])
    assert rows == ()
    assert len(columns) == 11
    assert values.shape == (0, 11)
