"""Training samples of drawn things that are no spine: patches without any body."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from spinenet.errors import RecipeError
from spinenet.geometry import is_square
from spinenet.synthetic.negatives.scans import NEGATIVES, render_negative
from spinenet.training.contrast import looking, sample_look
from spinenet.training.patches import patches_of
from spinenet.training.recipe import Augmentation, SourceEntry
from spinenet.training.samples import PatchSample
from spinenet.training.seeded import Seeded

SLICES, PATCHES = 3, 2
"""Slices of a scan, and patches of each, that one draw gives."""

CUT_FROM_SPINES = ("tiles",)
"""Kinds in which whole bodies of drawn spines stand: in a patch they look as they do in a spine, and only the
reading as a whole tells; see :mod:`spinenet.stages.plausibility`."""


@dataclass(frozen=True)
class Negatives(Seeded):
    """The source of things that are no spine; see :class:`spinenet.training.sources.Source`.

    Attributes
    ----------
    kinds
        Some of :data:`spinenet.synthetic.negatives.scans.NEGATIVES`, all drawn equally often.
    augmentation
        Read for its contrast, gain and noise.
    """

    kinds: tuple[str, ...]
    augmentation: Augmentation = Augmentation()

    def samples(self, seed: int, augmentation: Augmentation) -> Iterator[PatchSample]:
        """Patches of some slices of one thing."""
        rng = np.random.default_rng([seed, 37])
        scan = render_negative(seed, kind=str(rng.choice(self.kinds)))
        if not is_square(scan.pixel_spacing):
            return
        slices = scan.volume.shape[2]
        for k in rng.choice(slices, min(SLICES, slices), replace=False):
            image = scan.volume[:, :, int(k)]
            if rng.random() < augmentation.contrast:
                image = looking(image, sample_look(rng), rng)
            yield from patches_of(image, [], scan.pixel_spacing[0], rng, count=PATCHES)


def open_negatives(entry: SourceEntry, network: str, augmentation: Augmentation) -> Negatives:
    """The source of a recipe's negatives, whose option ``kinds`` says which; all but those cut from spines.

    Raises
    ------
    RecipeError
        The network is no detector, the entry has a path or other options, or a kind cannot be taken.
    """
    if network != "detector":
        raise RecipeError(f"sources: things that are no spine are for the detector, not for the {network}.")
    if entry.path is not None or set(entry.options) - {"kinds"}:
        raise RecipeError("sources: a source of kind 'negatives' takes the option 'kinds' and no path.")
    known = tuple(kind for kind in NEGATIVES if kind not in CUT_FROM_SPINES)
    kinds = entry.options.get("kinds", known)
    if not isinstance(kinds, list | tuple) or not kinds or set(kinds) - set(known):
        raise RecipeError(f"sources: options.kinds of negatives are some of {', '.join(known)}.")
    return Negatives(tuple(kinds), augmentation)
