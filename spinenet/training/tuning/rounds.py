"""One training and its judgement: on a split, in a fold, or at a point of a learning curve."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from spinenet.added_findings import AddedFinding
from spinenet.storage import Store
from spinenet.training.intervals import Indices
from spinenet.training.tuning.figures import figures
from spinenet.training.tuning.labels import Example
from spinenet.training.tuning.learners import FreeLearner, FrozenLearner
from spinenet.training.tuning.learning import Learnt, Schedule, learn, predicted
from spinenet.training.tuning.request import FinetuneRequest
from spinenet.training.tuning.sides import curve_sides, fold_sides, refuse_empty

LearnerOf = Callable[[Indices], FrozenLearner | FreeLearner]
"""A new learner for the examples with these numbers."""


@dataclass(frozen=True, eq=False)
class Judged:
    """A training's learner, what it ended with, and its answers on the test side."""

    learner: FrozenLearner | FreeLearner
    learnt: Learnt
    sides: Mapping[str, int]
    test: Indices
    probabilities: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Rounds:
    """All that the trainings of one request share.

    Attributes
    ----------
    store, folder
        Where checkpoints lie.
    learner_of
        Makes a new learner; the same for the same examples.
    """

    request: FinetuneRequest
    finding: AddedFinding
    examples: Sequence[Example]
    store: Store
    folder: str
    learner_of: LearnerOf
    progress: Callable[[str, int], None] = field(default=lambda name, step: None)

    @property
    def classes(self) -> npt.NDArray[np.intp]:
        """Of every example, from 0."""
        return np.array([example.klass for example in self.examples], np.intp)

    def judged(self, name: str, sides: Mapping[str, str]) -> Judged:
        """Train on one side, stop by another, and answer for the third.

        Parameters
        ----------
        name
            Of the training; its checkpoint is called so.
        sides
            By subject; others take no part.

        Raises
        ------
        LabelsError
            A side has no labels, or those to learn from are of one class.
        """
        refuse_empty(self.examples, sides, name)
        side = np.array([sides.get(example.subject, "") for example in self.examples])
        train, develop, test = (np.flatnonzero(side == one) for one in ("train", "develop", "test"))
        request = self.request
        schedule = Schedule(
            request.seed,
            request.steps,
            request.batch,
            request.learning_rate,
            request.weight_decay,
            request.balance,
            self.finding.n_classes,
        )
        learner = self.learner_of(train)
        kept = (self.store, f"{self.folder}/{name}.pt")
        learnt = learn(
            learner, self.classes, train, develop, schedule, kept, lambda step: self.progress(name, step)
        )
        counts = {one: int((side == one).sum()) for one in ("train", "develop", "test")}
        return Judged(learner, learnt, counts, test, predicted(learner, test))

    def figures(self, test: Indices, probabilities: npt.NDArray[np.float64]) -> dict[str, Any]:
        """Figures of answers for some examples."""
        subjects = [self.examples[k].subject for k in test]
        return figures(self.finding, subjects, self.classes[test], probabilities, seed=self.request.seed)

    def cross_validated(self) -> dict[str, Any]:
        """Figures of answers for every subject, by trainings that did not see it."""
        subjects = {example.subject for example in self.examples}
        folds = self.request.folds
        parts = [
            self._kept(f"fold-{fold}", fold_sides(subjects, folds, fold, self.request.seed))
            for fold in range(folds)
        ]
        test = np.concatenate([places for places, _ in parts])
        probabilities = np.concatenate([answers for _, answers in parts])
        return {"folds": folds, **self.figures(test, probabilities)}

    def curve(self, sides: Mapping[str, str]) -> list[dict[str, Any]]:
        """Figures on the same test side, by the number of subjects that were learnt from."""
        points = []
        for learners in self.request.curve:
            chosen = curve_sides(sides, learners, self.request.develop, self.request.seed)
            test, probabilities = self._kept(f"curve-{learners}", chosen)
            points.append({"learnt_from": learners, **self.figures(test, probabilities)})
        return points

    def _kept(self, name: str, sides: Mapping[str, str]) -> tuple[Indices, npt.NDArray[np.float64]]:
        """Answers of a training, which are kept, so that a start after a kill does not train it again."""
        file = f"{self.folder}/{name}.npz"
        if self.store.exists(file):
            with np.load(io.BytesIO(self.store.read(file)), allow_pickle=False) as told:
                return told["test"], told["probabilities"]
        judged = self.judged(name, sides)
        buffer = io.BytesIO()
        np.savez(buffer, test=judged.test, probabilities=judged.probabilities)
        self.store.write(file, buffer.getvalue())
        return judged.test, judged.probabilities
