"""Things that are no spine as training samples: patches without a body, never of a seed that is scored."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from spinenet.errors import RecipeError
from spinenet.networks.shapes import X_ARROWS
from spinenet.synthetic.negatives.scans import NEGATIVES
from spinenet.training.check import HeldOut
from spinenet.training.negatives import CUT_FROM_SPINES, Negatives, open_negatives
from spinenet.training.recipe import Augmentation, SourceEntry, parse_recipe
from spinenet.training.samples import PatchSample, batch_of
from spinenet.training.sources import open_sources


def entry(**options: Any) -> SourceEntry:
    return SourceEntry(kind="negatives", options=options)


def test_patches_show_no_body_and_all_of_them_count() -> None:
    source = open_negatives(entry(kinds=["knee", "blobs"]), "detector", Augmentation(contrast=1.0))
    samples = [sample for number in range(3) for sample in source.draw(number)]
    assert len(samples) >= 6
    assert all(isinstance(sample, PatchSample) and not len(sample.quads) for sample in samples)
    assert any(np.ptp(sample.image) > 0.1 for sample in samples)
    _, maps, near, counts = batch_of("detector", samples)
    assert not maps.any()
    assert not near.any()
    assert counts.all()


def test_a_number_gives_the_same_patches_each_time_and_others_than_those_that_are_scored() -> None:
    source = Negatives(("knee",))
    first, again = (list(source.draw(7)) for _ in range(2))
    assert all(np.array_equal(a.image, b.image) for a, b in zip(first, again, strict=True))
    scored = list(islice(source.held_out(), len(first)))
    assert not any(np.array_equal(a.image, b.image) for a in first for b in scored)


def test_all_kinds_are_taken_but_those_that_are_cut_from_spines() -> None:
    assert set(open_negatives(entry(), "detector", Augmentation()).kinds) == set(NEGATIVES) - set(
        CUT_FROM_SPINES
    )


@pytest.mark.parametrize(
    ("network", "options", "path", "said"),
    [
        ("grading", {}, None, "for the detector, not for the grading"),
        ("detector", {}, "here", "no path"),
        ("detector", {"kind": "knee"}, None, "the option 'kinds'"),
        ("detector", {"kinds": ["spine"]}, None, "are some of knee"),
        ("detector", {"kinds": ["tiles"]}, None, "are some of knee"),
        ("detector", {"kinds": []}, None, "are some of knee"),
    ],
)
def test_what_cannot_be_is_refused(
    network: str, options: dict[str, Any], path: str | None, said: str
) -> None:
    with pytest.raises(RecipeError, match=said):
        open_negatives(SourceEntry(kind="negatives", path=path, options=options), network, Augmentation())


class Answers(nn.Module):
    """Gives each patch the same response everywhere."""

    def __init__(self, response: float) -> None:
        super().__init__()
        self.response = response

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        return torch.full((len(patches), X_ARROWS + 8, *patches.shape[2:]), self.response)


@pytest.mark.parametrize(("response", "quiet"), [(0.0, 1.0), (0.9, 0.0)])
def test_where_no_body_is_the_score_is_silence(response: float, quiet: float) -> None:
    recipe = parse_recipe(
        'network = "detector"\narchitecture = {}\nsteps = 1\nbatch = 4\nlearning_rate = 1\n'
        "[stream]\nlanes = 1\nchunk = 1\nrepeats = 1\n[check]\nevery = 1\nsamples = 4\n"
        '[[sources]]\nkind = "negatives"\noptions = { kinds = ["blobs"] }\n',
        "here",
    )
    held_out = HeldOut(recipe, open_sources(recipe))
    scores = held_out.scores(Answers(response), lambda network, batch: torch.zeros(()), torch.device("cpu"))
    assert scores == {"negatives/loss": 0.0, "negatives/quiet": quiet}
