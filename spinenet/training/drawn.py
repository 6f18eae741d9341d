"""Training samples drawn from synthetic spines, by seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from spinenet.anatomy import ENDS, FINDINGS, LEVEL_INDEX, disc_level
from spinenet.errors import RecipeError
from spinenet.geometry import is_square
from spinenet.stages.crops import disc_volume, vertebra_volume
from spinenet.stages.windows import tile
from spinenet.synthetic.image import Phantom, render, render_slice, sample_subject, slice_rng, true_vertebrae
from spinenet.synthetic.tissues import sample_unlike
from spinenet.training.context import context_samples
from spinenet.training.contrast import looking, sample_look, volume_looking
from spinenet.training.patches import patches_of
from spinenet.training.recipe import Augmentation, SourceEntry
from spinenet.training.samples import DiscSample, PatchSample, Sample, VertebraSample
from spinenet.training.seeded import Seeded
from spinenet.types import Vertebra, Window

_KINDS = ("lumbar", "lumbar", "cervical", "cervical", "whole")
_END_WEIGHT = 4.0
"""How much more often a window with an end of the column is drawn: beyond it lies what looks like a body."""
_SEQUENCES = ("T2", "T2", "T1", "STIR")
_LEFT = next(i for i, f in enumerate(FINDINGS) if f.name == "foraminal_stenosis_left")


@dataclass(frozen=True)
class Drawn(Seeded):
    """The source of drawn spines; see :class:`spinenet.training.sources.Source`.

    Attributes
    ----------
    network
        Whose samples are drawn.
    augmentation
        Read for its gain and noise (see :func:`spinenet.training.samples.shaded`); for the detector and the
        appearance network its contrast (see :mod:`spinenet.training.contrast`), and for the detector its
        tissues.
    """

    network: str
    augmentation: Augmentation = Augmentation()

    def samples(self, seed: int, augmentation: Augmentation) -> Iterator[Sample]:
        """Samples of one subject."""
        if self.network == "detector":
            return detector_samples(seed, contrast=augmentation.contrast, tissues=augmentation.tissues)
        if self.network == "appearance":
            return vertebra_samples(seed, contrast=augmentation.contrast)
        return SAMPLES[self.network](seed)


def open_drawn(entry: SourceEntry, network: str, augmentation: Augmentation) -> Drawn:
    """The drawn source of a recipe.

    Raises
    ------
    RecipeError
        The entry has a path or options.
    """
    if entry.path is not None or entry.options:
        raise RecipeError("sources: a source of kind 'drawn' takes no path and no options.")
    return Drawn(network, augmentation)


def detector_samples(
    seed: int, slices: int = 5, patches: int = 2, *, contrast: float = 0.0, tissues: float = 0.0
) -> Iterator[PatchSample]:
    """Patches of some slices of one subject; ``contrast`` and ``tissues`` as in a recipe."""
    rng = np.random.default_rng([seed, 11])
    kind, sequence = str(rng.choice(_KINDS)), str(rng.choice(_SEQUENCES))
    subject = sample_subject(rng, kind=kind, sequence=sequence, balance=float(rng.uniform(0, 0.7)))
    if tissues and rng.random() < tissues:
        subject = replace(subject, tissues=sample_unlike(rng, sequence))
    vertebrae, a = true_vertebrae(subject), subject.acquisition
    spacing = min(a.pixel_spacing)
    middle = (a.slices - 1) / 2
    for k in np.unique(
        np.clip(np.round(rng.normal(middle, a.slices / 4.5, slices)), 0, a.slices - 1).astype(int)
    ):
        image = render_slice(subject, int(k), slice_rng(seed, int(k)))
        if contrast and rng.random() < contrast:
            image = looking(image, sample_look(rng), rng)
        present = {v.level: v.quads[v.slices.index(int(k))] for v in vertebrae if int(k) in v.slices}
        quads, ends = list(present.values()), [present[level] for level in ENDS if level in present]
        windows, _ = tile(a.rows, a.columns, spacing)
        weights = np.array([_END_WEIGHT if any(_shows(w, end) for end in ends) else 1.0 for w in windows])
        yield from patches_of(image, quads, spacing, rng, count=patches, weights=weights)


def _shows(window: Window, quad: npt.NDArray[np.float64]) -> bool:
    """Whether the middle of a body lies in a window."""
    x, y = quad.mean(axis=0)
    return bool(window.left <= x < window.right and window.top <= y < window.bottom)


def _as_detected(phantom: Phantom, rng: np.random.Generator, error_mm: float) -> list[tuple[str, Vertebra]]:
    """The true vertebrae in view, caudal first, with random errors of the corners like a detector's."""
    vertebrae, sd = [], error_mm / phantom.scan.pixel_spacing[0]
    for true in reversed(phantom.vertebrae):
        if true.share_in_view >= 0.5:
            shared = rng.normal(0, sd, (1, 4, 2))
            quads = true.quads + shared + rng.normal(0, sd / 2, true.quads.shape)
            keep = slice(int(rng.integers(0, 2)), len(quads) - int(rng.integers(0, 2)))
            slices = true.slices[keep]
            if slices:
                vertebrae.append((true.level, Vertebra(slices, quads[keep], true.level)))
    return vertebrae


def grading_samples(seed: int) -> Iterator[DiscSample]:
    """Discs of one lumbar T2 subject, each as it is and mirrored."""
    rng = np.random.default_rng([seed, 13])
    phantom = _square(render(seed, kind="lumbar", sequence="T2", balance=float(rng.choice([0.4, 0.9]))))
    if phantom is None:
        return
    vertebrae = _as_detected(phantom, rng, 0.6)
    for (low, below), (high, above) in pairwise(vertebrae):
        level = disc_level(low, high)
        if level is None or LEVEL_INDEX[high] > LEVEL_INDEX["T12"]:
            continue
        classes = phantom.discs[level]
        labels = np.array([classes[f.name] for f in FINDINGS])
        volume = np.asarray(disc_volume(phantom.scan.volume, below, above), np.float16)
        yield DiscSample(volume, labels)
        mirrored = labels.copy()
        mirrored[[_LEFT, _LEFT + 1]] = labels[[_LEFT + 1, _LEFT]]
        yield DiscSample(volume[::-1], mirrored)


def vertebra_samples(seed: int, *, contrast: float = 0.0) -> Iterator[VertebraSample]:
    """Vertebrae of one subject of any kind; ``contrast`` as in a recipe."""
    rng = np.random.default_rng([seed, 17])
    phantom = _square(
        render(seed, kind=str(rng.choice(_KINDS)), sequence=str(rng.choice(_SEQUENCES)), balance=0.2)
    )
    if phantom is None:
        return
    volume = phantom.scan.volume
    if contrast and rng.random() < contrast:
        volume = volume_looking(volume, sample_look(rng), rng)
    for level, vertebra in _as_detected(phantom, rng, 0.6):
        image = np.asarray(vertebra_volume(volume, vertebra.mean_quad), np.float16)
        yield VertebraSample(image, LEVEL_INDEX[level])


def _square(phantom: Phantom) -> Phantom | None:
    """The phantom where its pixels are square; None elsewhere: crops are cut from square pixels."""
    return phantom if is_square(phantom.scan.pixel_spacing) else None


SAMPLES: Mapping[str, Callable[[int], Iterator[Sample]]] = {
    "detector": detector_samples,
    "appearance": vertebra_samples,
    "context": context_samples,
    "grading": grading_samples,
}
"""Samples of a seed, by network."""
