"""Figures of a learnt finding on subjects that were held out, each with a 95 % interval over subjects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from spinenet.added_findings import AddedFinding
from spinenet.training.intervals import Indices, with_intervals
from spinenet.training.labelled_grades import balanced_accuracy, quadratic_kappa

Classes = npt.NDArray[np.intp]
Probabilities = npt.NDArray[np.float64]


def figures(
    finding: AddedFinding,
    subjects: Sequence[str],
    given: Classes,
    probabilities: Probabilities,
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """Agreement of the answers with the labels.

    Returns
    -------
    dict
        ``examples``, ``subjects``, ``given`` (labels by code), and with interval ``balanced_accuracy`` and
        ``accuracy``; of a binary finding ``auc``, ``sensitivity`` and ``specificity``; of an ordinal one
        ``within_one`` and ``kappa`` (quadratic weights). What cannot be said is None.
    """
    told: dict[str, Any] = {
        "examples": len(given),
        "subjects": len(set(subjects)),
        "given": {str(code): int((given == k).sum()) for k, code in enumerate(finding.codes)},
    }

    def agreement(chosen: Indices) -> dict[str, float]:
        return _agreement(finding, given[chosen], probabilities[chosen])

    return told | with_intervals(subjects, agreement, np.random.default_rng(seed))


def _agreement(finding: AddedFinding, given: Classes, probabilities: Probabilities) -> dict[str, float]:
    answers = probabilities.argmax(1)
    told = {
        "balanced_accuracy": balanced_accuracy(given, answers),
        "accuracy": float((given == answers).mean()),
    }
    if finding.scale == "binary":
        told |= {
            "auc": _auc(given, probabilities[:, 1]),
            "sensitivity": _share(answers[given == 1] == 1),
            "specificity": _share(answers[given == 0] == 0),
        }
    if finding.scale == "ordinal":
        told |= {
            "within_one": float((np.abs(given - answers) <= 1).mean()),
            "kappa": quadratic_kappa(given, answers),
        }
    return told


def _share(right: npt.NDArray[np.bool_]) -> float:
    return float(right.mean()) if len(right) else float("nan")


def _auc(given: Classes, scores: npt.NDArray[np.float64]) -> float:
    """Probability that a present one scores above an absent one; ties count half."""
    positives, negatives = int((given == 1).sum()), int((given == 0).sum())
    if not positives or not negatives:
        return float("nan")
    ranks = float(rankdata(scores)[given == 1].sum())
    return (ranks - positives * (positives + 1) / 2) / (positives * negatives)
