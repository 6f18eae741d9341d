"""What sources have in common whose samples are drawn by seed: spines, and things that are no spine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

import numpy as np

from spinenet.training.recipe import Augmentation
from spinenet.training.samples import Sample, shaded

TRAINING_SEEDS = 1_000_000
"""First training seed; smaller seeds are reserved for evaluation and demonstration."""
HELD_OUT_SEEDS = 900_000
"""First seed of the samples that score a network while it is trained, above those of the figures."""


class Seeded(ABC):
    """A source whose samples depend on a seed; see :class:`spinenet.training.sources.Source`."""

    augmentation: Augmentation

    @abstractmethod
    def samples(self, seed: int, augmentation: Augmentation) -> Iterator[Sample]:
        """What is drawn from one seed."""

    @property
    def digest(self) -> str:
        """Nothing: all that a drawing depends on is its number."""
        return ""

    @property
    def class_counts(self) -> Mapping[str, Sequence[int]]:
        """Nothing: classes, where there are any, are known when a subject is drawn."""
        return {}

    def draw(self, number: int) -> Iterator[Sample]:
        """Samples of no seed that is scored or shown."""
        return self.samples(TRAINING_SEEDS + number, self.augmentation)

    def held_out(self) -> Iterator[Sample]:
        """Samples of seeds below the training seeds, as they are."""
        seeds = range(HELD_OUT_SEEDS, TRAINING_SEEDS)
        return chain.from_iterable(self.samples(seed, Augmentation()) for seed in seeds)

    def varied(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample with another gain and other noise."""
        return shaded(sample, rng, gain=self.augmentation.gain, noise=self.augmentation.noise)
