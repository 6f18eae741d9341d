"""What a source of samples must do, and the kinds of source that a recipe can name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np

from spinenet.errors import RecipeError
from spinenet.training.drawn import open_drawn
from spinenet.training.labelled_sources import LABELLED_KINDS, open_labelled
from spinenet.training.negatives import open_negatives
from spinenet.training.recipe import Augmentation, Recipe, SourceEntry
from spinenet.training.samples import Sample

NUMBERS = 1 << 31
"""Draws of a source are numbered from 0 to below this."""


class Source(Protocol):
    """One network's samples of one kind. It is pickled to other processes: it holds no open file."""

    @property
    def digest(self) -> str:
        """What tells its data from others', beside the recipe: a checkpoint goes on with the same alone."""

    @property
    def class_counts(self) -> Mapping[str, Sequence[int]]:
        """By finding, how many training discs each class has; findings that are not known are left out."""

    def draw(self, number: int) -> Iterable[Sample]:
        """Training samples of one draw, such as a subject's: the same for the same number, at times none."""

    def held_out(self) -> Iterable[Sample]:
        """Samples that :meth:`draw` never gives, always the same, the first of which are scored."""

    def varied(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """A training sample as it is shown this time."""


Opener = Callable[[SourceEntry, str, Augmentation], Source]
"""Opens a source, of its entry in the recipe, the network's name and the recipe's augmentation.

It raises :class:`spinenet.errors.RecipeError` where the entry, or the data at its path, cannot be used.
"""

KINDS: Mapping[str, Opener] = {
    "drawn": open_drawn,
    "negatives": open_negatives,
    **dict.fromkeys(LABELLED_KINDS, open_labelled),
}
"""Openers by the kind that a recipe names."""


def open_sources(recipe: Recipe, kinds: Mapping[str, Opener] = KINDS) -> tuple[Source, ...]:
    """The sources of a recipe, in its order.

    Raises
    ------
    RecipeError
        There is no such kind, or its opener refuses.
    """
    opened = []
    for i, entry in enumerate(recipe.sources):
        if entry.kind not in kinds:
            known = ", ".join(sorted(kinds))
            raise RecipeError(f"sources.{i}.kind: there is no kind {entry.kind!r} of source, but {known}.")
        opened.append(kinds[entry.kind](entry, recipe.network, recipe.augmentation))
    return tuple(opened)


def source_names(recipe: Recipe) -> tuple[str, ...]:
    """Names of the sources in scores: the kind, with a number where there are several of it."""
    kinds = [entry.kind for entry in recipe.sources]
    return tuple(
        kind if kinds.count(kind) == 1 else f"{kind}{kinds[: i + 1].count(kind)}"
        for i, kind in enumerate(kinds)
    )
