"""Scores of a network on samples that are never trained on, source by source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice

import torch
from torch import Tensor, nn

from spinenet.anatomy import FINDINGS
from spinenet.networks.shapes import X_ARROWS
from spinenet.training.losses import Loss
from spinenet.training.recipe import Recipe
from spinenet.training.samples import UNLABELLED, Batch, batch_of
from spinenet.training.sources import Source, source_names
from spinenet.training.stream import micro_size, on_device

_PEAK, _FOUND = 0.95, 0.5
"""Target response of a landmark's own pixel, and the response at which it counts as found."""


class HeldOut:
    """The held-out samples of a recipe's sources, made when the network is scored for the first time.

    Parameters
    ----------
    recipe, sources
        What is trained, and where its samples come from; ``recipe.check`` says how many samples.
    """

    def __init__(self, recipe: Recipe, sources: Sequence[Source]) -> None:
        self._recipe, self._sources = recipe, sources
        self._batches: dict[str, list[Batch]] = {}

    def scores(self, network: nn.Module, loss: Loss, device: torch.device) -> dict[str, float]:
        """``SOURCE/loss`` and one more score of each source that has held-out samples.

        That is ``SOURCE/found``, the share of corners and centres with a response, or, where no body is,
        ``SOURCE/quiet``, the share of patches without any; ``SOURCE/accuracy`` of levels; or
        ``SOURCE/balanced_accuracy``, the mean over findings and their classes.
        """
        scores: dict[str, float] = {}
        was_training = network.training
        network.eval()
        with torch.inference_mode():
            for name, batches in self._made().items():
                moved = [on_device(batch, device) for batch in batches]
                sizes = [len(batch[0]) for batch in batches]
                losses = [float(loss(network, batch)) * n for batch, n in zip(moved, sizes, strict=True)]
                scores[f"{name}/loss"] = sum(losses) / sum(sizes)
                kind, value = _SCORES[self._recipe.network](network, moved)
                scores[f"{name}/{kind}"] = value
        network.train(was_training)
        return scores

    def _made(self) -> Mapping[str, list[Batch]]:
        check = self._recipe.check
        if not self._batches and check is not None:
            for name, source in zip(source_names(self._recipe), self._sources, strict=True):
                samples = list(islice(source.held_out(), check.samples))
                size = micro_size(self._recipe)
                parts = [samples[i : i + size] for i in range(0, len(samples), size)]
                if parts:
                    self._batches[name] = [batch_of(self._recipe.network, part) for part in parts]
        return self._batches


def _found(network: nn.Module, batches: Sequence[Batch]) -> tuple[str, float]:
    found, there, quiet, shown = 0, 0, 0, 0
    for patches, maps, _, counts in batches:
        peaks = (maps[:, :X_ARROWS] > _PEAK) & counts
        responses = network(patches)[:, :X_ARROWS] > _FOUND
        found += int((responses & peaks).sum())
        there += int(peaks.sum())
        quiet += int((~responses.flatten(1).any(1)).sum())
        shown += len(patches)
    return ("found", found / there) if there else ("quiet", quiet / max(shown, 1))


def _accuracy(network: nn.Module, batches: Sequence[Batch]) -> tuple[str, float]:
    right, known = 0, 0
    for images, levels in batches:
        logits = network(images.float())
        # (N, 1, rows, levels) of the context network
        answers = (logits[:, 0] if logits.ndim == 4 else logits).argmax(-1)
        right += int((answers == levels).sum())
        known += int((levels != UNLABELLED).sum())
    return "accuracy", right / max(known, 1)


def _balanced_accuracy(network: nn.Module, batches: Sequence[Batch]) -> tuple[str, float]:
    answers = [torch.stack([head.argmax(1) for head in network(b[0].float())], 1) for b in batches]
    given, true = torch.cat(answers).cpu(), torch.cat([classes for _, classes, _ in batches]).cpu()
    recalls: list[float] = []
    for i, finding in enumerate(FINDINGS):
        of_class = [_recall(given[:, i], true[:, i], k) for k in range(finding.n_classes)]
        there = [recall for recall in of_class if recall is not None]
        recalls += [sum(there) / len(there)] if there else []
    return "balanced_accuracy", sum(recalls) / max(len(recalls), 1)


def _recall(given: Tensor, true: Tensor, k: int) -> float | None:
    of_class = true == k
    return float((given[of_class] == k).float().mean()) if bool(of_class.any()) else None


_SCORES: Mapping[str, Callable[[nn.Module, Sequence[Batch]], tuple[str, float]]] = {
    "detector": _found,
    "appearance": _accuracy,
    "context": _accuracy,
    "grading": _balanced_accuracy,
}
