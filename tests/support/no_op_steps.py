"""The two tasks of a scan without decoding and networks: what is left is what a run costs beside them."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np

from flows.workers import Steps
from spinenet.anatomy import FINDINGS, LEVELS
from spinenet.cohort.checkpoints import Detections
from spinenet.cohort.manifests.manifest import Entry
from spinenet.cohort.rows import Provenance, ScanFacts, ScanRows, result_rows
from spinenet.cohort.scan import Decoded, Orders, Outcome
from spinenet.types import DiscGrade, SpineReading, Vertebra

SPINE = ("T12", "L1", "L2", "L3", "L4", "L5", "S1")
_QUAD = np.array([[10.0, 10.0], [40.0, 10.0], [40.0, 30.0], [10.0, 30.0]])


def decode(entry: Entry, orders: Orders) -> Decoded:
    """Nothing is read."""
    return Decoded(entry, None, None, None, {}, (("decode", "no-op"),))


def infer(decoded: Decoded, orders: Orders, earlier: Detections | None = None) -> Outcome:
    """The rows of a lumbar spine, the same for each scan but for its names."""
    entry, rows, detections = decoded.entry, *template()
    own = {"scan_id": entry.scan_id, "subject_id": entry.subject_id}
    rows = ScanRows(
        rows.scan | own | {"path": entry.path},
        tuple(row | own for row in rows.vertebrae),
        tuple(row | own for row in rows.grades),
    )
    return Outcome(rows, earlier or detections, (*decoded.trace, ("inference", "no-op")))


STEPS = Steps(decode, infer)


@cache
def template() -> tuple[ScanRows, Detections]:
    """Rows and detections of seven vertebrae and the six discs between them."""
    evenly = np.full(len(LEVELS), 1 / len(LEVELS))
    vertebrae = tuple(
        Vertebra((6, 7, 8), np.stack([_QUAD + 40.0 * i] * 3), level, evenly) for i, level in enumerate(SPINE)
    )
    probabilities = {f.name: np.full(len(f.values), 1 / len(f.values)) for f in FINDINGS}
    grades = tuple(
        DiscGrade(f"{above}-{below}", 7, probabilities) for above, below in itertools.pairwise(SPINE)
    )
    seconds = {"detect": 0.0, "label": 0.0, "grade": 0.0, "read": 0.0}
    facts = ScanFacts((448, 448, 15), (0.6, 0.6), 4.4, np.eye(4), "T2", {}, (), "f" * 64)
    made_by = Provenance("no-op", "f" * 64, "0", "0")
    rows = result_rows(Entry("", ""), facts, SpineReading(vertebrae, grades, (), seconds), made_by)
    return rows, Detections(facts.fingerprint, vertebrae)
