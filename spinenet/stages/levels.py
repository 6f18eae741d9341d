"""Decodes the outputs of the labelling networks into one level for each vertebra."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from spinenet.anatomy import LEVELS, SACRAL_RELABEL
from spinenet.geometry import Points
from spinenet.networks.shapes import TEMPERATURE
from spinenet.types import Vertebra

CONTEXT_ROW_MULTIPLE = 256
"""Number of which the context image's height must be a multiple (arXiv:2205.01683, labelling)."""

OUT_OF_ORDER_COST = 1000.0
"""Cost of a level that is not caudal to that of the vertebra above (arXiv:2205.01683, labelling)."""

SECOND_SACRAL_COST = 100.0
"""Cost of S1 below S1, which is then named S2 (arXiv:2205.01683, labelling)."""

SKIP_COST = 100.0
"""Cost of skipping one or more levels between two vertebrae (arXiv:2205.01683, labelling)."""

UNCERTAIN_BELOW = 0.3
"""Median level probability below which the levels of a scan are flagged as uncertain.

It is not published but measured here, with the bundled weights: the flag is set for 18 of 20 scans with wrong
levels (18 real T2 SPACE scans of SPIDER and two synthetic ones) and for 19 of 80 with right levels (10 of 12
real ones, 9 of 68 synthetic ones).
"""

_SACRAL = LEVELS.index("S1")


def appearance_probabilities(logits: npt.ArrayLike, empty: npt.ArrayLike) -> Points:
    """Level probabilities (n, 24) of (n, 24) logits; zero where (n,) ``empty`` marks an all-zero volume."""
    return np.where(np.asarray(empty, dtype=bool)[:, None], 0.0, _probabilities(logits))


def context_image(
    height: int, spacing_mm: float, mean_quads: Sequence[Points], probabilities: npt.ArrayLike
) -> npt.NDArray[np.float32]:
    """Lay the vertebrae's level probabilities out along the scan, one row for each millimetre.

    Parameters
    ----------
    height
        Number of rows of the scan.
    spacing_mm
        Distance between rows in mm.
    mean_quads
        (4, 2) corners (x, y) of each vertebra, in pixels.
    probabilities
        (n, 24) probabilities of the appearance network.

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
    """Row (n,) of the context image at the centre of each vertebra, clamped to the scan."""
    centres = [int(np.asarray(quad)[:, 1].mean() * spacing_mm) for quad in mean_quads]
    return np.clip(np.asarray(centres, dtype=np.intp), 0, max(int(height * spacing_mm) - 1, 0))


def level_probabilities(context: npt.ArrayLike, rows: npt.ArrayLike) -> Points:
    """Level probabilities (n, 24) from the context network's (rows, 24) logits at (n,) rows."""
    return _probabilities(np.asarray(context)[np.asarray(rows, dtype=np.intp)])


def transition_costs(skip_penalty: bool) -> Points:
    """Costs (24, 24) of stepping from a vertebra's level (row) to that of the next caudal one (column)."""
    a, b = np.indices((len(LEVELS), len(LEVELS)))
    costs = np.where(b >= a, np.where(b == _SACRAL, SECOND_SACRAL_COST, OUT_OF_ORDER_COST), 0.0)
    return costs + np.where(skip_penalty & (np.abs(b - a) > 1), SKIP_COST, 0.0)


def decode(probabilities: npt.ArrayLike, *, skip_penalty: bool = True) -> tuple[tuple[int, ...], float]:
    """Decode the sequence of levels with the least cost, by the Viterbi algorithm.

    Parameters
    ----------
    probabilities
        (n, 24) level probabilities of the vertebrae, cranial to caudal.
    skip_penalty
        Whether skipping a level has a cost.

    Returns
    -------
    levels
        n indices into :data:`spinenet.anatomy.LEVELS`.
    cost
        Negative log probability of the sequence plus the costs of its steps.
    """
    p = np.asarray(probabilities, dtype=np.float64).reshape(-1, len(LEVELS))
    if not len(p):
        return (), 0.0
    # a probability of zero costs about 700: less than a level out of order (1000), and never infinity
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
    """Names of decoded levels.

    Where the last two are S1, the last one becomes S2; then, where the first two are, the first one does
    (arXiv:2205.01683, labelling).
    """
    names = [LEVELS[k] for k in levels]
    if names[-2:] == ["S1", "S1"]:
        names[-1] = SACRAL_RELABEL
    if names[:2] == ["S1", "S1"]:
        names[0] = SACRAL_RELABEL
    return tuple(names)


def levels_uncertain(vertebrae: Iterable[Vertebra]) -> bool:
    """Whether the levels of a scan's vertebrae are uncertain, by :data:`UNCERTAIN_BELOW`."""
    probabilities = [v.level_probability for v in vertebrae if v.level_probability is not None]
    return bool(probabilities) and float(np.median(probabilities)) < UNCERTAIN_BELOW


def _probabilities(logits: npt.ArrayLike) -> Points:
    """Level probabilities of a labelling network's logits, in float64."""
    probabilities: Points = softmax(np.asarray(logits, dtype=np.float64) / TEMPERATURE, axis=-1)
    return probabilities
