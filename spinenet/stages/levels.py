"""From what the labelling networks say to one name for each vertebra."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from spinenet.anatomy import LEVELS, SACRAL_RELABEL
from spinenet.geometry import Points
from spinenet.types import Vertebra

TEMPERATURE = 10.0
"""Logits of both labelling networks are divided by this before the softmax."""

CONTEXT_ROW_MULTIPLE = 256
"""The context network reads images whose height is a multiple of this."""

OUT_OF_ORDER_COST = 1000.0
"""Of a level that is not caudal to the one before it."""

SECOND_SACRAL_COST = 100.0
"""Of a second S1."""

SKIP_COST = 100.0
"""Of a level left out."""

UNCERTAIN_BELOW = 0.3
"""Median level probability below which the names of a scan's vertebrae are in doubt.

Measured with the bundled weights. Of 20 scans that were named wrongly (18 real T2 SPACE scans of SPIDER, and
two drawn) it finds 18; of 80 named rightly it doubts 19 (10 of 12 real, 9 of 68 drawn).
"""

_SACRAL = LEVELS.index("S1")


def appearance_probabilities(logits: npt.ArrayLike, empty: npt.ArrayLike) -> Points:
    """Level probabilities (n, 24) of (n, 24) logits; zero where (n,) ``empty``: the volume held nothing."""
    return np.where(np.asarray(empty, dtype=bool)[:, None], 0.0, _probabilities(logits))


def context_image(
    height: int, spacing_mm: float, mean_quads: Sequence[Points], probabilities: npt.ArrayLike
) -> npt.NDArray[np.float32]:
    """Lay the vertebrae's probabilities out along the scan, one row a millimetre.

    Parameters
    ----------
    height
        Rows of the scan.
    spacing_mm
        Distance between them.
    mean_quads
        (4, 2) each.
    probabilities
        (n, 24) from the appearance network.

    Returns
    -------
    ndarray
        (rows, 24) float32; zero rows below make the height a multiple of 256.
    """
    used = int(height * spacing_mm)
    padded = max(1, -(-used // CONTEXT_ROW_MULTIPLE)) * CONTEXT_ROW_MULTIPLE
    image = np.zeros((padded, len(LEVELS)), np.float32)
    for quad, row in zip(mean_quads, np.asarray(probabilities), strict=True):
        y = np.asarray(quad)[:, 1]
        centre, half = int(y.mean() * spacing_mm), int(np.ptp(y) * spacing_mm / 2 / 2)
        image[max(centre - half, 0) : max(min(centre + half, used), 0)] = row
    return image


def centroid_rows(height: int, spacing_mm: float, mean_quads: Sequence[Points]) -> npt.NDArray[np.intp]:
    """Row of the context image, clamped to the scan, that each vertebra is read from."""
    centres = [int(np.asarray(quad)[:, 1].mean() * spacing_mm) for quad in mean_quads]
    return np.clip(np.asarray(centres, dtype=np.intp), 0, max(int(height * spacing_mm) - 1, 0))


def level_probabilities(context: npt.ArrayLike, rows: npt.ArrayLike) -> Points:
    """(n, 24) probabilities read from the context network's (rows, 24) logits at (n,) rows."""
    return _probabilities(np.asarray(context)[np.asarray(rows, dtype=np.intp)])


def transition_costs(skip_penalty: bool) -> Points:
    """(24, 24) cost of going from one level (row) to the next vertebra's (column), caudally."""
    a, b = np.indices((len(LEVELS), len(LEVELS)))
    costs = np.where(b >= a, np.where(b == _SACRAL, SECOND_SACRAL_COST, OUT_OF_ORDER_COST), 0.0)
    return costs + np.where(skip_penalty & (np.abs(b - a) > 1), SKIP_COST, 0.0)


def decode(probabilities: npt.ArrayLike, *, skip_penalty: bool = True) -> tuple[tuple[int, ...], float]:
    """Find the cheapest sequence of levels, exactly (a Viterbi pass).

    Parameters
    ----------
    probabilities
        (n, 24) of the vertebrae from cranial to caudal.
    skip_penalty
        Whether leaving out a level costs.

    Returns
    -------
    levels
        n indices into :data:`spinenet.anatomy.LEVELS`.
    cost
        Its negative log probability plus the costs of its steps.
    """
    p = np.asarray(probabilities, dtype=np.float64).reshape(-1, len(LEVELS))
    if not len(p):
        return (), 0.0
    # A probability of zero costs some 700: much, but less than to break the order of the spine.
    emission = -np.log(np.maximum(p, np.finfo(np.float64).tiny))
    steps = transition_costs(skip_penalty)
    total = emission[0]
    origin = np.zeros(p.shape, dtype=np.intp)
    for i in range(1, len(p)):
        candidates = total[:, None] + steps
        origin[i] = candidates.argmin(axis=0)
        total = candidates.min(axis=0) + emission[i]
    level = int(total.argmin())
    cost = float(total[level])
    path = [level]
    for i in range(len(p) - 1, 0, -1):
        path.append(int(origin[i, path[-1]]))
    return tuple(reversed(path)), cost


def level_names(levels: Sequence[int]) -> tuple[str, ...]:
    """Names of decoded levels; the second of two neighbouring S1 at either end is S2, as published."""
    names = [LEVELS[k] for k in levels]
    if names[-2:] == ["S1", "S1"]:
        names[-1] = SACRAL_RELABEL
    if names[:2] == ["S1", "S1"]:
        names[0] = SACRAL_RELABEL
    return tuple(names)


def levels_uncertain(vertebrae: Iterable[Vertebra]) -> bool:
    """Whether the names of a scan's vertebrae are in doubt, by :data:`UNCERTAIN_BELOW`."""
    probabilities = [v.level_probability for v in vertebrae if v.level_probability is not None]
    return bool(probabilities) and float(np.median(probabilities)) < UNCERTAIN_BELOW


def _probabilities(logits: npt.ArrayLike) -> Points:
    """Level probabilities of a labelling network's logits, in float64."""
    probabilities: Points = softmax(np.asarray(logits, dtype=np.float64) / TEMPERATURE, axis=-1)
    return probabilities
