"""A training of seconds, of made-up columns: in this process, or as a process that can be killed.

``python -m support.toy_training OUT SECONDS`` trains by the recipe on its input, with a wait in each draw.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from spinenet.training.loop import train
from spinenet.training.recipe import Recipe, parse_recipe
from spinenet.training.samples import ContextSample, Sample, shaded

PICTURES = ("matplotlib", "torch.utils.tensorboard")
"""Modules of the extra ``training``, which are not imported where they are said to be absent."""

RECIPE = """
network = "context"
steps = 40
batch = 4
micro_batches = 2
learning_rate = 1e-3
warm_up = 3
checkpoint_every = 10
log_every = 1
[architecture]
width = 2
[stream]
lanes = 4
chunk = 4
repeats = 2
[[sources]]
kind = "toy"
share = 3
[[sources]]
kind = "toy"
[check]
every = 20
samples = 4
"""


@dataclass(frozen=True)
class ToySource:
    """Columns of 16 rows; draws of three or of no samples, whose first pixel is the draw's number."""

    wait_s: float = 0.0
    digest: str = "toy"
    drawn: list[int] = field(default_factory=list)

    @property
    def class_counts(self) -> Mapping[str, Sequence[int]]:
        return {}

    def draw(self, number: int) -> Iterator[Sample]:
        self.drawn.append(number)
        time.sleep(self.wait_s)
        for place in range(3 if number % 4 else 0):
            yield _column(number, place)

    def held_out(self) -> Iterator[Sample]:
        while True:
            yield _column(7, 0)

    def varied(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return shaded(sample, rng, gain=0.1, noise=0.01)


def _column(number: int, place: int) -> ContextSample:
    rng = np.random.default_rng([number, place])
    levels = np.full(16, -1)
    levels[rng.integers(16)] = rng.integers(24)
    return ContextSample(rng.random((16, 24), np.float32), levels)


def toy_recipe(*changes: tuple[str, str]) -> Recipe:
    """The toy's recipe, with lines replaced."""
    text = RECIPE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return parse_recipe(text, "toy.toml")


def environment(**more: str) -> dict[str, str]:
    """Of a process that computes the very numbers that one thread computes here."""
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root), str(root / "tests")])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **more}


if __name__ == "__main__":
    # which saves a third of the process's time
    sys.modules |= dict.fromkeys(PICTURES)  # type: ignore[arg-type]
    _recipe = Recipe.model_validate_json(sys.stdin.read())
    _source = ToySource(wait_s=float(sys.argv[2]))
    train(_recipe, [_source, _source], Path(sys.argv[1]), device="cpu", workers=int(sys.argv[3]))
