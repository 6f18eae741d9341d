"""Which findings each disc of a synthetic spine has, and how large each is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spinenet.anatomy import FINDINGS

PFIRRMANN_PREVALENCE = (0.06, 0.29, 0.32, 0.24, 0.09)
NARROWING_GIVEN_PFIRRMANN = (
    (0.97, 0.03, 0.0, 0.0),
    (0.88, 0.12, 0.0, 0.0),
    (0.60, 0.33, 0.07, 0.0),
    (0.22, 0.45, 0.28, 0.05),
    (0.0, 0.15, 0.40, 0.45),
)
STENOSIS_PREVALENCE = (0.76, 0.13, 0.07, 0.04)
STENOSIS_GIVEN_HERNIATION = (0.0, 0.5, 0.3, 0.2)
SLIP_PREVALENCE = (0.91, 0.06, 0.03)
BINARY_PREVALENCE: Mapping[str, float] = {
    "upper_endplate_defect": 0.12,
    "lower_endplate_defect": 0.11,
    "upper_marrow_change": 0.10,
    "lower_marrow_change": 0.10,
    "foraminal_stenosis_left": 0.09,
    "foraminal_stenosis_right": 0.09,
    "herniation": 0.13,
}
"""Shares of lumbar discs, near those of graded back-pain cohorts (arXiv:2205.01683)."""

HEIGHT_FACTOR = ((0.94, 1.06), (0.70, 0.79), (0.47, 0.55), (0.22, 0.31))
"""Disc height over its normal height, by narrowing class."""
SAC_FACTOR = ((0.94, 1.06), (0.68, 0.77), (0.44, 0.53), (0.18, 0.28))
"""Front-to-back diameter of the thecal sac over its normal diameter, by stenosis class."""
SLIP_FACTOR = ((-0.02, 0.02), (0.14, 0.21), (0.31, 0.42))
"""Forward slip of the upper vertebra over the depth of the lower one, by spondylolisthesis class."""


@dataclass(frozen=True)
class DiscFindings:
    """The findings of one disc and the sizes at which they are drawn.

    Attributes
    ----------
    classes
        Class index (from 0) of each finding by name.
    height_factor, sac_factor, slip_factor
        Drawn from the class's range in the tables above.
    herniation_side
        Lateral centre of a herniation in mm, patient left positive.
    """

    classes: Mapping[str, int]
    height_factor: float
    sac_factor: float
    slip_factor: float
    herniation_side: float


def _pick(rng: np.random.Generator, shares: Sequence[float]) -> int:
    weights = np.asarray(shares, float)
    return int(rng.choice(len(weights), p=weights / weights.sum()))


def _flatten(shares: Sequence[float], balance: float) -> list[float]:
    possible = sum(s > 0 for s in shares)
    return [(1 - balance) * s + balance * (s > 0) / possible for s in shares]


def sample_findings(rng: np.random.Generator, *, lumbar: bool, balance: float) -> DiscFindings:
    """Draw one disc's findings.

    Parameters
    ----------
    lumbar
        Discs above T12 have signal and height changes only.
    balance
        0 keeps the prevalences above; 1 makes every possible class equally likely, for training.
    """
    classes = {f.name: 0 for f in FINDINGS}
    classes["pfirrmann"] = _pick(rng, _flatten(PFIRRMANN_PREVALENCE, balance))
    classes["narrowing"] = _pick(rng, _flatten(NARROWING_GIVEN_PFIRRMANN[classes["pfirrmann"]], balance))
    if lumbar:
        for name, share in BINARY_PREVALENCE.items():
            classes[name] = int(rng.random() < (1 - balance) * share + balance * 0.35)
        stenosis = STENOSIS_GIVEN_HERNIATION if classes["herniation"] else STENOSIS_PREVALENCE
        classes["central_canal_stenosis"] = _pick(rng, _flatten(stenosis, balance))
        classes["spondylolisthesis"] = _pick(rng, _flatten(SLIP_PREVALENCE, 0.6 * balance))
    else:
        classes["narrowing"] = min(classes["narrowing"], 1)
    return DiscFindings(
        classes=classes,
        height_factor=rng.uniform(*HEIGHT_FACTOR[classes["narrowing"]]),
        sac_factor=rng.uniform(*SAC_FACTOR[classes["central_canal_stenosis"]]),
        slip_factor=rng.uniform(*SLIP_FACTOR[classes["spondylolisthesis"]]),
        herniation_side=rng.uniform(-4.0, 4.0),
    )
