"""Training samples of the four networks, and the micro-batches that they become."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from spinenet.anatomy import FINDINGS
from spinenet.networks.shapes import PATCH_SIZE
from spinenet.training.targets import detector_target

Batch = tuple[torch.Tensor, ...]
"""A micro-batch as the losses take it; :func:`batch_of` says what is in it."""
Image = npt.NDArray[np.floating[Any]]

MOST_CLASSES = max(finding.n_classes for finding in FINDINGS)
UNLABELLED = -1
"""Class of what nobody labelled: it takes no part in a loss."""


@dataclass(frozen=True, eq=False)
class PatchSample:
    """A detector's patch; its target maps, twenty times as large, are made with the micro-batch.

    Attributes
    ----------
    image
        (224, 224) float16 or float32, as :func:`spinenet.stages.windows.cut_patch` gives it.
    quads
        (n, 4, 2) corners (x, y) in patch pixels, order rt, rb, lb, lt.
    counts
        (224, 224): pixels of which is known whether they belong to a body; None where all are.
    """

    image: Image
    quads: npt.NDArray[np.floating[Any]]
    counts: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class VertebraSample:
    """A vertebra's volume (224, 224, 16) and the index of its level, -1 where nobody named it."""

    image: Image
    level: int


@dataclass(frozen=True, eq=False)
class ContextSample:
    """A column's image (rows, 24) and the level (rows,) at each row, -1 where there is none.

    All sources of a recipe give the same number of rows, a multiple of 16.
    """

    image: Image
    levels: npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class DiscSample:
    """A disc's volume and its grades, in the order of :data:`spinenet.anatomy.FINDINGS`.

    Attributes
    ----------
    image
        (9, 112, 224).
    classes
        (11,) class of each finding, -1 where nobody graded it, or where a grade only narrows it down.
    allowed
        (11, 5) whether a finding may be of a class, for those that a grade narrows down, as one of present or
        absent does of a scale of four; other rows are false. None where there are none.
    """

    image: Image
    classes: npt.NDArray[np.integer[Any]]
    allowed: npt.NDArray[np.bool_] | None = None


Sample = PatchSample | VertebraSample | ContextSample | DiscSample


def shaded(sample: Sample, rng: np.random.Generator, *, gain: float = 0.0, noise: float = 0.0) -> Sample:
    """The sample brighter or darker by up to ``gain``, with noise of a standard deviation up to ``noise``."""
    if not gain and not noise:
        return sample
    image = np.asarray(sample.image, np.float32) * np.float32(1 + rng.uniform(-gain, gain))
    image = image + np.float32(rng.uniform(0, noise)) * rng.standard_normal(image.shape, dtype=np.float32)
    return replace(sample, image=image.astype(sample.image.dtype))


def batch_of(network: str, samples: Sequence[Any]) -> Batch:
    """A micro-batch of one network's samples.

    Returns
    -------
    tuple of Tensor
        - detector: patches (N, 1, 224, 224) float32, maps (N, 13, 224, 224), where arrows are defined
          (N, 4, 224, 224) and which pixels count (N, 1, 224, 224);
        - appearance: volumes (N, 1, 224, 224, 16) and levels (N,);
        - context: images (N, 1, rows, 24) and levels (N, rows);
        - grading: volumes (N, 1, 9, 112, 224), classes (N, 11), and which classes a grade allows (N, 11, 5):
          the one that it names, some that it narrows a finding down to, or none where there is no grade.
    """
    return _BATCHES[network](samples)


def _patches(samples: Sequence[PatchSample]) -> Batch:
    targets = [detector_target(list(sample.quads)) for sample in samples]
    everywhere = np.ones((PATCH_SIZE, PATCH_SIZE), bool)
    counts = [everywhere if sample.counts is None else sample.counts for sample in samples]
    return (
        _images(samples, np.float32),
        torch.from_numpy(np.stack([maps for maps, _ in targets])),
        torch.from_numpy(np.stack([near for _, near in targets])),
        torch.from_numpy(np.stack(counts)[:, None]),
    )


def _vertebrae(samples: Sequence[VertebraSample]) -> Batch:
    return _images(samples, np.float16), torch.tensor([sample.level for sample in samples])


def _columns(samples: Sequence[ContextSample]) -> Batch:
    return _images(samples, np.float32), _whole_numbers([sample.levels for sample in samples])


def _discs(samples: Sequence[DiscSample]) -> Batch:
    classes = _whole_numbers([sample.classes for sample in samples])
    allowed = classes[..., None] == torch.arange(MOST_CLASSES)
    for sample, row in zip(samples, allowed, strict=True):
        if sample.allowed is not None:
            row |= torch.from_numpy(sample.allowed)
    return _images(samples, np.float16), classes, allowed


def _images(samples: Sequence[Sample], dtype: type[np.floating[Any]]) -> torch.Tensor:
    return torch.from_numpy(np.stack([np.asarray(sample.image, dtype) for sample in samples])[:, None])


def _whole_numbers(rows: Sequence[npt.NDArray[np.integer[Any]]]) -> torch.Tensor:
    return torch.from_numpy(np.stack(rows).astype(np.int64))


_BATCHES: Mapping[str, Callable[[Sequence[Any]], Batch]] = {
    "detector": _patches,
    "appearance": _vertebrae,
    "context": _columns,
    "grading": _discs,
}
