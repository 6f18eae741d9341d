"""Signal of each tissue in T1, T2 and STIR contrast, in arbitrary units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

DISC_NUCLEUS: Mapping[str, tuple[float, ...]] = {
    "T2": (820.0, 740.0, 430.0, 225.0, 90.0),
    "STIR": (760.0, 680.0, 400.0, 200.0, 80.0),
    "T1": (300.0, 300.0, 290.0, 270.0, 220.0),
}
"""Signal of the nucleus by Pfirrmann class (0 for grade 1)."""


@dataclass(frozen=True)
class Tissues:
    """One scan's signals.

    Attributes
    ----------
    modic
        Factors on the marrow signal of the marrow changes of type 1, 2 and 3.
    """

    csf: float
    cord: float
    fat: float
    muscle: float
    marrow: float
    cortex: float
    annulus: float
    ligament: float
    vessel: float
    organ: tuple[float, float]
    nucleus: tuple[float, ...]
    modic: tuple[float, float, float]


_BASE = {
    "T2": Tissues(950, 400, 720, 170, 400, 60, 130, 60, 50, (120, 620), DISC_NUCLEUS["T2"], (1.65, 1.5, 0.4)),
    "T1": Tissues(
        150, 330, 900, 300, 540, 80, 230, 90, 110, (200, 500), DISC_NUCLEUS["T1"], (0.5, 1.45, 0.45)
    ),
    "STIR": Tissues(
        950, 380, 90, 220, 190, 50, 100, 50, 60, (200, 650), DISC_NUCLEUS["STIR"], (2.4, 0.75, 0.5)
    ),
}


def sample_tissues(rng: np.random.Generator, sequence: str) -> Tissues:
    """Signals of one subject: the contrast's base values, each varied."""
    base = _BASE[sequence]

    def vary(value: float, sd: float) -> float:
        return float(value * np.exp(rng.normal(0, sd)))

    return replace(
        base,
        csf=vary(base.csf, 0.08),
        cord=vary(base.cord, 0.08),
        fat=vary(base.fat, 0.15),
        muscle=vary(base.muscle, 0.15),
        marrow=vary(base.marrow, 0.10),
        cortex=vary(base.cortex, 0.2),
        annulus=vary(base.annulus, 0.12),
        vessel=vary(base.vessel, 0.3),
    )


def sample_unlike(rng: np.random.Generator, sequence: str) -> Tissues:
    """Signals of no contrast that there is: each tissue's its own, so that only shapes tell what is what."""

    def signal(low: float = 30, high: float = 950) -> float:
        return float(rng.uniform(low, high))

    nucleus = np.sort(rng.uniform(60, 900, len(DISC_NUCLEUS[sequence])))
    # mostly darker with degeneration, as in nearly all contrasts
    ordered = nucleus[::-1] if rng.random() < 0.7 else nucleus
    organs = sorted((signal(), signal()))
    return replace(
        sample_tissues(rng, sequence),
        csf=signal(),
        cord=signal(100, 800),
        fat=signal(100),
        muscle=signal(80, 500),
        marrow=signal(150, 900),
        cortex=signal(20, 130),
        annulus=signal(50, 400),
        ligament=signal(30, 200),
        vessel=signal(20, 500),
        organ=(organs[0], organs[1]),
        nucleus=tuple(float(value) for value in ordered),
    )
