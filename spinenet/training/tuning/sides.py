"""Who is learnt from, who training stops by, and who is judged: always whole subjects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

from spinenet.errors import LabelsError
from spinenet.training.splits import side_of
from spinenet.training.tuning.labels import Example
from spinenet.training.tuning.request import FinetuneRequest


def sides_of(request: FinetuneRequest, examples: Sequence[Example]) -> dict[str, str]:
    """The side of each subject: as a column states it, else by a hash of the seed and the name."""
    if request.split:
        return {example.subject: str(example.side) for example in examples}
    shares = {
        "train": 1 - request.develop - request.test,
        "develop": request.develop,
        "test": request.test,
    }
    return {
        subject: side_of(subject, seed=request.seed, shares=shares)
        for subject in sorted({example.subject for example in examples})
    }


def fold_sides(subjects: Iterable[str], folds: int, fold: int, seed: int) -> dict[str, str]:
    """Sides in one fold of a cross-validation: each subject is on the test side of exactly one fold."""
    ordered = _shuffled(subjects, seed)
    sides = {}
    for place, subject in enumerate(ordered):
        part = place % folds
        sides[subject] = "test" if part == fold else "develop" if part == (fold + 1) % folds else "train"
    return sides


def curve_sides(sides: Mapping[str, str], learners: int, develop: float, seed: int) -> dict[str, str]:
    """Sides where no more than some subjects are learnt from, those that training stops by among them.

    The subjects of a smaller number are among those of a larger one; the test side stays.

    Raises
    ------
    LabelsError
        There are not as many.
    """
    ordered = _shuffled((subject for subject, side in sides.items() if side != "test"), seed)
    if learners > len(ordered):
        raise LabelsError(
            f"the learning curve asks for {learners} subjects, and {len(ordered)} with labels are not on the "
            "test side"
        )
    every = max(2, round(1 / develop))
    chosen = {s: "develop" if k % every == 0 else "train" for k, s in enumerate(ordered[:learners])}
    return {subject: "test" for subject, side in sides.items() if side == "test"} | chosen


def refuse_empty(examples: Sequence[Example], sides: Mapping[str, str], what: str) -> None:
    """Raise LabelsError where a side lacks labels of two classes to learn from, or any to judge by."""
    classes: dict[str, set[int]] = {"train": set(), "develop": set(), "test": set()}
    for example in examples:
        if example.subject in sides:
            classes[sides[example.subject]].add(example.klass)
    for side, held in classes.items():
        if len(held) < (2 if side == "train" else 1):
            raise LabelsError(
                f"the side {side} of {what} has labels of {len(held)} classes; use another --seed, more "
                "labels, or other shares"
            )


def _shuffled(subjects: Iterable[str], seed: int) -> list[str]:
    return sorted(set(subjects), key=lambda subject: sha256(f"{seed}\n{subject}".encode()).digest())
