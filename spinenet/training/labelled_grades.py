"""Scores a grading network on real discs that somebody graded, whose vertebral bodies are outlined."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from spinenet.anatomy import FINDINGS, Finding
from spinenet.inference.pipeline import disc_images, grade_discs
from spinenet.settings import Settings
from spinenet.training.intervals import Indices, with_intervals
from spinenet.training.labelled_sources import files_of
from spinenet.training.labels.files import LabelledFile, Unused
from spinenet.training.labels.labelled import LabelledScan
from spinenet.training.labels.slabs import read_in_slabs
from spinenet.training.recipe import Recipe
from spinenet.training.side_by_side import side_by_side
from spinenet.types import Scan
from spinenet.weights import resolve
from spinenet.weights.networks import Networks


@dataclass(frozen=True)
class GradedDisc:
    """One finding of a disc: who it is of, the classes that a reader left, and the network's class."""

    subject: str
    finding: str
    allowed: tuple[int, ...]
    answer: int


def graded_discs(scan: LabelledScan, networks: Networks) -> Iterator[GradedDisc]:
    """The graded discs of a scan between its outlined bodies, with what the network says of them."""
    as_read = Scan(scan.volume, (scan.spacing_mm, scan.spacing_mm), scan.slice_spacing)
    discs, _ = disc_images(as_read, scan.vertebrae)
    for grade in grade_discs(discs, networks.grading, Settings().batch_size):
        classes, allowed = scan.discs.get(grade.level, {}), scan.allowed.get(grade.level, {})
        for finding in FINDINGS:
            known = (classes[finding.name],) if finding.name in classes else allowed.get(finding.name, ())
            if known:
                answer = int(np.argmax(grade.probabilities[finding.name]))
                yield GradedDisc(scan.subject, finding.name, tuple(known), answer)


def grade_figures(discs: Iterable[GradedDisc], *, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Agreement by finding, each figure with a 95 % interval over subjects.

    Returns
    -------
    dict
        ``discs`` and ``subjects``; of findings of more than two classes that were graded exactly ``exact``,
        ``within_one``, ``kappa`` (quadratic weights) and ``spearman``; and ``balanced_accuracy``: of the two
        classes of a binary finding, of all classes of a scale, or, where a reader only said absent or
        present, of these two. It is None where one class alone was given, and absent where the classes that
        grades leave overlap, so that one answer would be right for all.
    """
    by_finding: dict[str, list[GradedDisc]] = {}
    for disc in discs:
        by_finding.setdefault(disc.finding, []).append(disc)
    rng = np.random.default_rng(seed)
    return {
        finding.name: _figures(finding, by_finding[finding.name], rng)
        for finding in FINDINGS
        if finding.name in by_finding
    }


def _figures(finding: Finding, discs: Sequence[GradedDisc], rng: np.random.Generator) -> dict[str, Any]:
    subjects = [disc.subject for disc in discs]
    counts = {"discs": len(discs), "subjects": len(set(subjects))}
    if _overlap({disc.allowed for disc in discs}):
        return counts
    given, answers = _classes(discs)
    ordinal = finding.ordinal and all(len(disc.allowed) == 1 for disc in discs)

    def agreement(chosen: Indices) -> dict[str, float]:
        return _agreement(given[chosen], answers[chosen], ordinal)

    return {**counts, **with_intervals(subjects, agreement, rng)}


def _overlap(allowed: Collection[tuple[int, ...]]) -> bool:
    """Whether a class is left by two grades that leave different ones."""
    return sum(map(len, allowed)) > len({k for classes in allowed for k in classes})


def _classes(discs: Sequence[GradedDisc]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Classes as given and as answered; where a grade leaves several classes, 0 for absent and 1 for present.

    An answer is then right where it is among the classes that its disc's grade leaves.
    """
    if all(len(disc.allowed) == 1 for disc in discs):
        return np.array([disc.allowed[0] for disc in discs]), np.array([disc.answer for disc in discs])
    given = np.array([int(max(disc.allowed) == _highest(discs)) for disc in discs])
    right = np.array([disc.answer in disc.allowed for disc in discs])
    return given, np.where(right, given, 1 - given)


def _highest(discs: Sequence[GradedDisc]) -> int:
    return max(max(disc.allowed) for disc in discs)


def _agreement(given: npt.NDArray[np.intp], answers: npt.NDArray[np.intp], ordinal: bool) -> dict[str, float]:
    agreement = {"balanced_accuracy": balanced_accuracy(given, answers)}
    if ordinal:
        agreement |= {
            "exact": float((given == answers).mean()),
            "within_one": float((np.abs(given - answers) <= 1).mean()),
            "kappa": quadratic_kappa(given, answers),
            "spearman": _spearman(given, answers),
        }
    return agreement


def balanced_accuracy(given: npt.NDArray[np.intp], answers: npt.NDArray[np.intp]) -> float:
    """Mean over the classes that were given of the share answered so; NaN where there is only one."""
    if len(np.unique(given)) < 2:
        return float("nan")
    return float(np.mean([(answers[given == k] == k).mean() for k in np.unique(given)]))


def quadratic_kappa(given: npt.NDArray[np.intp], answers: npt.NDArray[np.intp]) -> float:
    """Cohen's kappa with quadratic weights; not a number where both never differ from one class."""
    expected = ((given[:, None] - answers[None]) ** 2).mean()
    return float(1 - ((given - answers) ** 2).mean() / expected) if expected else float("nan")


def _spearman(given: npt.NDArray[np.intp], answers: npt.NDArray[np.intp]) -> float:
    if len(np.unique(given)) < 2 or len(np.unique(answers)) < 2:
        return float("nan")
    return float(spearmanr(given, answers).statistic)


def _grade(networks: Networks, file: LabelledFile) -> tuple[GradedDisc, ...] | Unused:
    read = read_in_slabs(file)
    return read if isinstance(read, Unused) else tuple(graded_discs(read, networks))


def labelled_grade_figures(source: str, recipe: Recipe, side: str, *, processes: int = 1) -> dict[str, Any]:
    """Figures of a bundle's grades on one side of a recipe's labelled scans, by collection and sequence.

    Raises
    ------
    RecipeError, WeightsError
        The recipe, its sources or the bundle cannot be used.
    """
    files = [(kind, file) for kind, of_kind in files_of(recipe, side).items() for file in of_kind]
    answers = side_by_side(_grade, resolve(source), [file for _, file in files], processes=processes)
    by_kind, unused = dict[str, list[GradedDisc]](), dict[str, str]()
    for (kind, _), made in zip(files, answers, strict=True):
        if isinstance(made, Unused):
            unused[made.name] = made.reason
        else:
            by_kind.setdefault(kind, []).extend(made)
    return {
        "side": side,
        "groups": {kind: grade_figures(discs) for kind, discs in by_kind.items()},
        "unused": unused,
    }
