"""Carries outlines from a slice to another one of the same subject and place, such as from T1 to T2.

A detector that learnt the sacrum on T1 can so label it on T2, where nobody outlined it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from spinenet.training.labels.labelled import LabelledScan, covered_by
from spinenet.training.labels.outlining import is_plausible
from spinenet.types import Vertebra

Outlines = tuple[Vertebra, ...]

FIELD_TOLERANCE_MM = 2.0
"""Most by which the fields of view of two slices of one place differ: series of one visit share it."""

CARRIED_FROM, CARRIED_TO = "T1", "T2"


def carried(vertebrae: Sequence[Vertebra], origin: LabelledScan, target: LabelledScan) -> Outlines | None:
    """Outlines of a slice in the pixels of another one; None where their fields of view differ."""
    fields = [np.array(scan.volume.shape[:2]) * scan.spacing_mm for scan in (origin, target)]
    if np.abs(fields[0] - fields[1]).max() > FIELD_TOLERANCE_MM:
        return None
    scale = origin.spacing_mm / target.spacing_mm
    return tuple(Vertebra((0,), (v.quads[:1] + 0.5) * scale - 0.5, v.level) for v in vertebrae)


def agree(one: Sequence[Vertebra], other: Sequence[Vertebra]) -> bool:
    """Whether two outlinings of one place give each body that both outline the same level, S1 among them."""
    for vertebra in one:
        place = covered_by(vertebra, other)
        if place is None:
            if vertebra.level == "S1":
                return False
        elif other[place].level != vertebra.level:
            return False
    return True


def chosen(found: Mapping[str, tuple[LabelledScan, Outlines]]) -> dict[str, Outlines]:
    """The outlines that may be taken for labels, by the slice's name.

    A slice keeps its own where they are plausible. Those of a T2 slice must besides agree with what is
    plausible on the same subject's T1 slice of the same place, if there is one; otherwise those of T1 are
    taken, which were learnt with the sacrum.

    Parameters
    ----------
    found
        By name: each slice, and the vertebrae that were found in it, cranial to caudal.
    """
    origins: dict[str, list[tuple[LabelledScan, Outlines]]] = {}
    for scan, vertebrae in found.values():
        if scan.sequence == CARRIED_FROM and is_plausible(vertebrae):
            origins.setdefault(scan.subject, []).append((scan, vertebrae))
    taken: dict[str, Outlines] = {}
    for name, (scan, own) in found.items():
        plausible = is_plausible(own)
        moved = None
        if scan.sequence == CARRIED_TO:
            candidates = (
                carried(outlines, origin, scan) for origin, outlines in origins.get(scan.subject, [])
            )
            moved = next((outlines for outlines in candidates if outlines is not None), None)
        if moved is not None and not (plausible and agree(own, moved)):
            taken[name] = moved
        elif plausible:
            taken[name] = own
    return taken
