"""Outlines that a bundle draws of bodies nobody outlined, to be looked at and then to be learnt from.

A slice is only listed where the whole of what was found is plausible: neighbouring levels down to S1, none of
them doubtful.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from spinenet.anatomy import LEVEL_INDEX
from spinenet.errors import LabelsError
from spinenet.training.labels.labelled import LabelledScan
from spinenet.types import Vertebra

LEAST_BODIES = 5
"""Bodies that a slice must show, S1 among them: L2 to S1."""
LEAST_PROBABILITY = 0.5
"""Median level probability that they must have."""
LARGEST_CHANGE = 1.6
"""Most by which the height of a body differs from that of its neighbour, as a ratio: a body that was missed
makes no gap in heights, but fragments and discs do."""
LARGEST_GAP = 0.9
"""Largest distance between two bodies, as a share of their mean height: discs have up to 0.6."""


def is_plausible(vertebrae: Sequence[Vertebra]) -> bool:
    """Whether vertebrae, cranial to caudal, may be taken for labels: neighbours down to S1, none doubtful."""
    if len(vertebrae) < LEAST_BODIES or vertebrae[-1].level != "S1":
        return False
    order = [LEVEL_INDEX.get(str(vertebra.level), -1) for vertebra in vertebrae]
    if any(above != below + 1 for above, below in pairwise(order)):
        return False
    sure = [v.level_probability for v in vertebrae if v.level_probability is not None]
    if not sure or float(np.median(sure)) < LEAST_PROBABILITY:
        return False
    return all(_fits(above, below) for above, below in pairwise(vertebrae))


def _fits(above: Vertebra, below: Vertebra) -> bool:
    heights = [_height(above), _height(below)]
    rt, rb, lb, lt = range(4)
    gap = np.linalg.norm(above.mean_quad[[rb, lb]].mean(axis=0) - below.mean_quad[[rt, lt]].mean(axis=0))
    return max(heights) <= LARGEST_CHANGE * min(heights) and bool(gap <= LARGEST_GAP * np.mean(heights))


def _height(vertebra: Vertebra) -> float:
    rt, rb, lb, lt = range(4)
    quad = vertebra.mean_quad
    return float(np.linalg.norm(quad[[rt, lt]].mean(axis=0) - quad[[rb, lb]].mean(axis=0)))


def outline_line(scan: LabelledScan, vertebrae: Sequence[Vertebra]) -> str:
    """A line of JSON with the slice's name and the mean quad (x, y in pixels) of each vertebra, by level."""
    quads = {str(v.level): np.round(v.mean_quad, 2).tolist() for v in vertebrae}
    return json.dumps({"name": scan.name, "quads": quads})


def write_outlines(path: Path, lines: Iterable[str]) -> int:
    """Write lines of :func:`outline_line`; how many there are."""
    written = [f"{line}\n" for line in lines]
    path.write_text("".join(written), encoding="utf-8")
    return len(written)


def read_outlines(path: Path) -> Mapping[str, tuple[Vertebra, ...]]:
    """Vertebrae of single slices, cranial to caudal, by the slice's name.

    Raises
    ------
    LabelsError
        A line is none of :func:`outline_line`.
    OSError
        The file is not there.
    """
    outlined: dict[str, tuple[Vertebra, ...]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            read = json.loads(line)
            quads = {str(k): np.asarray(v, np.float64).reshape(4, 2) for k, v in read["quads"].items()}
            levels = sorted(quads, key=lambda level: -LEVEL_INDEX[level])
            outlined[str(read["name"])] = tuple(Vertebra((0,), quads[k][None], k) for k in levels)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise LabelsError(f"line {number} of {path.name} is no outline of a slice") from None
    return outlined
