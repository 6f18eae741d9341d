"""Figures of graded discs or vertebrae with 95 % intervals over the subjects that they are of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

RESAMPLINGS = 1000
"""Samples of subjects, drawn with replacement, of which intervals are made."""

Indices = npt.NDArray[np.intp]


def with_intervals(
    subjects: Sequence[str], agreement: Callable[[Indices], Mapping[str, float]], rng: np.random.Generator
) -> dict[str, list[float | None]]:
    """(value, low, high) of each figure, to four places; None for what is not a number.

    Parameters
    ----------
    subjects
        Of each example.
    agreement
        Figures by name of the examples with these numbers, the same names each time.
    rng
        Draws the subjects.
    """
    names = sorted(set(subjects))
    of = np.array(subjects)
    rows = [np.flatnonzero(of == name) for name in names]
    drawn = [
        agreement(np.concatenate([rows[k] for k in rng.integers(len(rows), size=len(rows))]))
        for _ in range(RESAMPLINGS)
    ]
    told: dict[str, list[float | None]] = {}
    for name, value in agreement(np.arange(len(of))).items():
        values = np.array([one[name] for one in drawn])
        low, high = np.nanpercentile(values, (2.5, 97.5)) if np.isfinite(values).any() else (np.nan, np.nan)
        told[name] = [round(float(x), 4) if np.isfinite(x) else None for x in (value, low, high)]
    return told
