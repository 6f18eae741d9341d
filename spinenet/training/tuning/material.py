"""What is learnt from: the labelled discs or bodies of a run as images or features, and learners of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from spinenet.added_findings import AddedFinding
from spinenet.cohort.process_steps import side_by_side_pool
from spinenet.networks.grading import GradingNetwork
from spinenet.storage import Store
from spinenet.training.intervals import Indices
from spinenet.training.ranks import device_named
from spinenet.training.tuning.cutting import CutCount, Wanted, made
from spinenet.training.tuning.found import FoundScan
from spinenet.training.tuning.labels import Example
from spinenet.training.tuning.learners import FreeLearner, FrozenLearner
from spinenet.training.tuning.request import FinetuneRequest
from spinenet.training.tuning.rounds import LearnerOf
from spinenet.weights.bundle import Bundle
from spinenet.weights.description import file_name
from spinenet.weights.loaded import WeightsRef
from spinenet.weights.networks import load_networks


def arrays_of(
    request: FinetuneRequest,
    base: Bundle,
    found: Sequence[FoundScan],
    examples: Sequence[Example],
    cache: Store,
    pool: Executor | None,
) -> tuple[dict[tuple[str, str], npt.NDArray[Any]], CutCount]:
    """Image or features of every example that can be cut, by scan_id and place, and what was done for it."""
    labelled: dict[str, set[str]] = {}
    for example in examples:
        labelled.setdefault(example.scan_id, set()).add(example.place)
    wanted = Wanted(request.of)
    if request.free == "none":
        place = str(base.folder.resolve())
        ref = WeightsRef(place, base.name, base.fingerprint)
        digest = base.digests[file_name("grading")]
        wanted = Wanted(request.of, ref, digest, request.copies, request.device)
    scans = [scan for scan in found if scan.entry.scan_id in labelled]
    arrays: dict[tuple[str, str], npt.NDArray[Any]] = {}
    count = CutCount()
    with _workers(request, pool) as workers:
        for scan, held in made(cache, scans, wanted, workers, count):
            scan_id = scan.entry.scan_id
            arrays |= {(scan_id, place): held[place] for place in labelled[scan_id] & held.keys()}
    return arrays, count


def learner_of(
    request: FinetuneRequest,
    finding: AddedFinding,
    examples: Sequence[Example],
    arrays: Mapping[tuple[str, str], npt.NDArray[Any]],
    base: Bundle,
) -> LearnerOf:
    """What makes a new learner of the examples: the same one each time for the same examples."""
    stacked = np.stack([arrays[example.scan_id, example.place] for example in examples])
    if request.free == "none":
        return lambda train: FrozenLearner(finding, stacked, train)
    grading = load_networks(base).grading
    assert isinstance(grading, GradingNetwork)
    device = device_named(request.device)
    size = base.description["architecture"]["grading"]

    def free_learner(train: Indices) -> FreeLearner:
        return FreeLearner(finding, stacked, grading, size, request.free, device)

    return free_learner


@contextmanager
def _workers(request: FinetuneRequest, pool: Executor | None) -> Iterator[Executor]:
    """The given workers, or processes of this machine that share its cores."""
    if pool is not None:
        yield pool
        return
    count = request.processes or len(os.sched_getaffinity(0))
    with side_by_side_pool(count) as own:
        yield own
