"""A fine-tuning from its request to the new bundle: what the command and the flow do."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from spinenet.added_findings import AddedFinding
from spinenet.cohort.layout import RUN
from spinenet.errors import LabelsError, WeightsError
from spinenet.storage import Store, digest
from spinenet.training.checkpoints import hardware_of, versions_here
from spinenet.training.tuning.card import card
from spinenet.training.tuning.cutting import CutCount
from spinenet.training.tuning.found import FinishedRun, FoundScan
from spinenet.training.tuning.labels import Example, Label, joined, read_labels
from spinenet.training.tuning.material import arrays_of, learner_of
from spinenet.training.tuning.request import FinetuneRequest
from spinenet.training.tuning.rounds import Judged, Rounds
from spinenet.training.tuning.sides import curve_sides, sides_of
from spinenet.weights import resolve
from spinenet.weights.adding import add_finding, refuse_if_there
from spinenet.weights.bundle import Bundle

_log = logging.getLogger(__name__)

CACHE = f"{RUN}/finetune"
"""Folder of a run for images, features and checkpoints, where no other cache is named."""


@dataclass(frozen=True)
class FinetuneSummary:
    """What became of a fine-tuning.

    Attributes
    ----------
    bundle
        Folder of the new bundle; None where none was asked for.
    examples, subjects
        Labels that were used, and of how many subjects.
    figures
        ``test``, and ``cross_validation`` and ``curve`` where they were asked for.
    count
        How many scans were cut, passed through the trunk, and found in the cache.
    """

    finding: AddedFinding
    bundle: Path | None
    examples: int
    subjects: int
    figures: Mapping[str, Any]
    count: CutCount


def finetune(
    request: FinetuneRequest,
    pool: Executor | None = None,
    progress: Callable[[str, int], None] = lambda name, step: None,
) -> FinetuneSummary:
    """Learn a finding from labels of what a run has found; started again, it goes on.

    Parameters
    ----------
    pool
        Whose workers read and cut the scans; by default processes of this machine.
    progress
        Called with the name of each training and its step.

    Raises
    ------
    LabelsError
        The labels, the name of the finding, or a split cannot be used.
    RunError, WeightsError, TrainingError, StorageError
        The run is not finished, the bundle or the cache cannot be used, or training failed.
    """
    finding, labels = read_labels(request)
    run = FinishedRun.at(request.out)
    base = resolve(request.weights or run.weights)
    _refuse_place(request, base, finding)
    found = _labelled_scans(run, labels)
    examples = joined(request, finding, labels, run.subjects, found)
    sides = sides_of(request, examples)
    for learners in request.curve:
        # refused here, before the scans are read
        curve_sides(sides, learners, request.develop, request.seed)
    cache = Store.at(request.cache) if request.cache else _below(run.store)
    arrays, count = arrays_of(request, base, found, examples, cache, pool)
    examples = tuple(e for e in examples if (e.scan_id, e.place) in arrays)
    if not examples:
        raise LabelsError("no labelled scan can be read any more; the reasons stand above")
    rounds = Rounds(
        request,
        finding,
        examples,
        cache,
        f"training/{_fingerprint(request, base, finding, examples)}",
        learner_of(request, finding, examples, arrays, base),
        progress,
    )
    with _repeatable(request):
        told, judged = _rounds(rounds, sides)
    subjects = len({example.subject for example in examples})
    about = _about(request, base, examples, told, judged)
    written = _written(request, base, finding, judged, about)
    return FinetuneSummary(finding, written, len(examples), subjects, told, count)


def _refuse_place(request: FinetuneRequest, base: Bundle, finding: AddedFinding) -> None:
    """Refuse before any work what cannot be written after it."""
    refuse_if_there(base, finding)
    if request.bundle is not None and Path(request.bundle).resolve() == base.folder.resolve():
        raise WeightsError(f"{request.bundle} is the bundle that is added to; choose another --bundle")


def _below(out: Store) -> Store:
    return Store(out.fs, f"{out.root}/{CACHE}", out.retries)


def _labelled_scans(run: FinishedRun, labels: Sequence[Label]) -> list[FoundScan]:
    """Scans that labels may be of; all of the run where no label names one of its scans or subjects."""
    scans = {label.scan_id for label in labels if label.scan_id}
    subjects = {label.subject for label in labels if label.subject and not label.scan_id}
    wanted = {scan_id for scan_id, subject in run.subjects.items() if scan_id in scans or subject in subjects}
    return list(run.found(wanted or set(run.subjects)))


def _rounds(rounds: Rounds, sides: Mapping[str, str]) -> tuple[dict[str, Any], Judged]:
    """The training that is kept, and those of a cross-validation and a learning curve."""
    judged = rounds.judged("head", sides)
    told: dict[str, Any] = {"test": rounds.figures(judged.test, judged.probabilities)}
    if rounds.request.folds:
        told["cross_validation"] = rounds.cross_validated()
    if rounds.request.curve:
        told["curve"] = rounds.curve(sides)
    return told, judged


def _fingerprint(
    request: FinetuneRequest, base: Bundle, finding: AddedFinding, examples: Sequence[Example]
) -> str:
    """What a training's weights depend on, as the name of the folder of its checkpoints."""
    facts = [request.deciding(), base.fingerprint, finding.plain(), _plain(examples)]
    return digest(json.dumps(facts).encode())[:32]


def _plain(examples: Sequence[Example]) -> list[list[Any]]:
    return [[e.scan_id, e.subject, e.place, e.klass, e.side] for e in examples]


def _about(
    request: FinetuneRequest,
    base: Bundle,
    examples: Sequence[Example],
    told: Mapping[str, Any],
    judged: Judged,
) -> dict[str, Any]:
    """What the bundle says of the finding beside its coding; nobody's name and no path of a file."""
    return {
        "figures": dict(told),
        "labels": {
            "fingerprint": digest(json.dumps(_plain(examples)).encode()),
            "examples": len(examples),
            "subjects": len({example.subject for example in examples}),
            "by_side": dict(judged.sides),
        },
        "training": {
            "base": base.name,
            "base_fingerprint": base.fingerprint,
            **request.model_dump(
                mode="json",
                include={
                    "free",
                    "seed",
                    "steps",
                    "batch",
                    "learning_rate",
                    "weight_decay",
                    "balance",
                    "copies",
                },
            ),
            "best_step": judged.learnt.best_step,
            "steps_done": judged.learnt.steps,
            "hardware": hardware_of(torch.device("cpu")),
            "versions": versions_here(),
        },
    }


def _written(
    request: FinetuneRequest, base: Bundle, finding: AddedFinding, judged: Judged, about: Mapping[str, Any]
) -> Path | None:
    if request.bundle is None:
        return None
    folder = Path(request.bundle)
    name = request.name or folder.resolve().name
    head = judged.learner.head(base.description["architecture"]["grading"])
    text = card(name, base.name, finding, about)
    add_finding(folder, base, head, name=name, about=about, card=text)
    return folder


@contextmanager
def _repeatable(request: FinetuneRequest) -> Iterator[None]:
    """One thread for a head alone, which is small and whose sums are then always in one order."""
    before = torch.get_num_threads()
    if request.free == "none":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
