"""Turns the grading network's logits into a disc's grades, and grades into the published table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from spinenet.added_findings import AddedFinding
from spinenet.anatomy import FINDINGS, Finding
from spinenet.types import DiscGrade


def disc_grade(
    level: str, mid_slice: int, logits: Sequence[npt.ArrayLike], added: Sequence[AddedFinding] = ()
) -> DiscGrade:
    """Make the grades of one disc from its logits (arXiv:2205.01683, grading).

    Parameters
    ----------
    level
        Name of the disc.
    mid_slice
        Index of its middle slice.
    logits
        One array (n_classes,) for each of :data:`spinenet.anatomy.FINDINGS`, then for each of ``added``.
    added
        Findings of a disc that the bundle adds.

    Raises
    ------
    ValueError
        The number of heads or classes differs from that of the findings.
    """
    probabilities = {}
    findings: tuple[Finding | AddedFinding, ...] = (*FINDINGS, *added)
    for finding, values in zip(findings, logits, strict=True):
        row = softmax(np.asarray(values, dtype=np.float64))
        if row.shape != (finding.n_classes,):
            raise ValueError(f"{finding.name} has {finding.n_classes} classes, not {row.shape}")
        probabilities[finding.name] = row
    return DiscGrade(level, mid_slice, probabilities)


def grade_value(grade: DiscGrade, finding_name: str) -> int:
    """The most probable value of a finding, in the scale that is shown (Pfirrmann 1 to 5 ...)."""
    finding = next(f for f in FINDINGS if f.name == finding_name)
    return finding.first + int(np.argmax(grade.probabilities[finding_name]))


def published_table(
    grades: Sequence[DiscGrade],
) -> tuple[tuple[str, ...], tuple[str, ...], npt.NDArray[np.int64]]:
    """The grades in the form of the published package's table.

    Returns
    -------
    rows
        Disc names in the order given (cranial first in a :class:`~spinenet.types.SpineReading`).
    columns
        Published names of the 11 findings.
    values
        (discs, 11) values in the scale that is shown.
    """
    values = [[grade_value(grade, finding.name) for finding in FINDINGS] for grade in grades]
    return (
        tuple(grade.level for grade in grades),
        tuple(finding.published_name for finding in FINDINGS),
        np.asarray(values, dtype=np.int64).reshape(-1, len(FINDINGS)),
    )
