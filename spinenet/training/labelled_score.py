"""Scores a bundle on real scans whose vertebral bodies somebody outlined."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest

from spinenet.inference.pipeline import detect, label
from spinenet.settings import Settings
from spinenet.training.labelled_sources import files_of
from spinenet.training.labels.files import LabelledFile, Unused
from spinenet.training.labels.labelled import LabelledScan, covered_by
from spinenet.training.labels.slabs import read_in_slabs
from spinenet.training.recipe import Recipe
from spinenet.training.side_by_side import side_by_side
from spinenet.types import Scan, Vertebra
from spinenet.weights import Bundle, resolve
from spinenet.weights.networks import Networks

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelledScore:
    """How the bodies of some scans were found and named.

    Attributes
    ----------
    name, group
        The scan, and what it is counted with: its collection and sequence.
    bodies
        Labelled vertebral bodies.
    found, named
        Those that a vertebra covers with an IoU above 0.5, and those of them with the right level.
    false
        Vertebrae that cover no body where it is known what is one, and second ones of a body.
    errors_mm
        Distance of each corner of the bodies found.
    wrong
        "L4 as L5" for each that has another level.
    missed
        Levels of those that were not found.
    """

    name: str
    group: str
    bodies: int
    found: int
    named: int
    false: int
    errors_mm: tuple[float, ...] = ()
    wrong: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()


_COUNTS = ("bodies", "found", "named", "false")


def together(scores: Sequence[LabelledScore]) -> dict[str, Any]:
    """Counts, shares with 95 % intervals (Clopper and Pearson), and the median corner error, for JSON."""
    total = {name: sum(getattr(score, name) for score in scores) for name in _COUNTS}
    errors = [error for score in scores for error in score.errors_mm]
    return {
        "scans": len(scores),
        **total,
        "found_share": share(total["found"], total["bodies"]),
        "named_share": share(total["named"], total["bodies"]),
        "corner_error_mm": float(np.median(errors)) if errors else None,
        "scans_named_wrongly": sum(bool(score.wrong) for score in scores),
    }


def share(part: int, whole: int) -> tuple[float, float, float] | None:
    """A share with its 95 % interval (low, high); None of nothing."""
    if not whole:
        return None
    interval = binomtest(part, whole).proportion_ci(0.95)
    return part / whole, float(interval.low), float(interval.high)


def vertebrae_of(scan: LabelledScan, networks: Networks) -> tuple[Vertebra, ...]:
    """The vertebrae that networks find and name in a labelled scan."""
    # in a single slice every body is seen in one slice alone
    settings = Settings(remove_single_slice=scan.volume.shape[2] > 1)
    as_read = Scan(scan.volume, (scan.spacing_mm, scan.spacing_mm), scan.slice_spacing)
    return label(as_read, detect(as_read, networks, settings), networks, settings)


def compare(scan: LabelledScan, vertebrae: Sequence[Vertebra]) -> LabelledScore:
    """Compare vertebrae with a scan's labelled bodies, each with the one that it covers best."""
    means = [vertebra.mean_quad for vertebra in vertebrae]
    covering = {k: covered_by(body, vertebrae) for k, body in enumerate(scan.vertebrae)}
    taken = {k: j for k, j in covering.items() if j is not None}
    others = [mean for j, mean in enumerate(means) if j not in taken.values()]
    pairs = [(scan.vertebrae[k], vertebrae[j]) for k, j in taken.items()]
    return LabelledScore(
        name=scan.name,
        group=f"{scan.source} {scan.sequence}",
        bodies=len(scan.vertebrae),
        found=len(pairs),
        named=sum(body.level == vertebra.level for body, vertebra in pairs),
        false=sum(scan.counts_at(mean.mean(axis=0)) for mean in others),
        errors_mm=tuple(error for body, vertebra in pairs for error in _errors(body, vertebra, scan)),
        wrong=tuple(f"{b.level} as {v.level}" for b, v in pairs if b.level != v.level),
        missed=tuple(str(body.level) for k, body in enumerate(scan.vertebrae) if k not in taken),
    )


def _errors(body: Vertebra, vertebra: Vertebra, scan: LabelledScan) -> Iterator[float]:
    distances = np.linalg.norm(body.mean_quad - vertebra.mean_quad, axis=1) * scan.spacing_mm
    yield from map(float, distances)


Found = tuple[LabelledScan, tuple[Vertebra, ...]]
"""A labelled scan, and the vertebrae that a bundle found in it."""


def _find(networks: Networks, file: LabelledFile) -> Found | Unused:
    read = read_in_slabs(file)
    return read if isinstance(read, Unused) else (read, vertebrae_of(read, networks))


def found_in(bundle: Bundle, files: Iterable[LabelledFile], *, processes: int) -> Iterator[Found | Unused]:
    """What a bundle finds in labelled files, several of which are read side by side, in their order."""
    for made in side_by_side(_find, bundle, files, processes=processes):
        if isinstance(made, Unused):
            logger.warning("%s is left out: %s", made.name, made.reason)
        yield made


def by_group(scores: Iterable[LabelledScore]) -> dict[str, dict[str, Any]]:
    """Figures by collection and sequence."""
    groups: dict[str, list[LabelledScore]] = {}
    for score in scores:
        groups.setdefault(score.group, []).append(score)
    return {name: together(of_group) for name, of_group in sorted(groups.items())}


def labelled_figures(source: str, recipe: Recipe, side: str, *, processes: int = 1) -> dict[str, Any]:
    """Figures of a bundle on one side of a recipe's labelled scans: by group, and each scan with a fault.

    Raises
    ------
    RecipeError, WeightsError
        The recipe, its sources or the bundle cannot be used.
    """
    files = [file for of_kind in files_of(recipe, side).values() for file in of_kind]
    found = list(found_in(resolve(source), files, processes=processes))
    scores = [compare(*made) for made in found if not isinstance(made, Unused)]
    return {
        "side": side,
        "groups": by_group(scores),
        "faults": {
            score.name: {"wrong": score.wrong, "missed": score.missed, "false": score.false}
            for score in scores
            if score.wrong or score.missed or score.false
        },
        "unused": {one.name: one.reason for one in found if isinstance(one, Unused)},
    }
