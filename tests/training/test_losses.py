"""Losses: they fall on a batch that is seen again, and what nobody labelled takes no part in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count, islice

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from spinenet.anatomy import FINDINGS
from spinenet.networks.detector import Detector
from spinenet.networks.grading import GradingNetwork
from spinenet.networks.labelling import AppearanceNetwork, ContextNetwork
from spinenet.training.drawn import SAMPLES, Drawn, grading_samples
from spinenet.training.losses import (
    Loss,
    appearance_loss,
    class_weights,
    context_loss,
    detector_loss,
    grading_loss,
)
from spinenet.training.recipe import Augmentation, LossOptions
from spinenet.training.samples import Batch, DiscSample, PatchSample, batch_of
from spinenet.training.scoring import FIRST_SEED, GROUPS
from spinenet.training.seeded import HELD_OUT_SEEDS, TRAINING_SEEDS

QUAD = np.array([[120.0, 80.0], [124.0, 104.0], [92.0, 106.0], [90.0, 82.0]])
CASES: dict[str, tuple[Callable[[], nn.Module], Loss]] = {
    "detector": (lambda: Detector(width=8, blocks=(1, 1, 1, 1)), detector_loss),
    "appearance": (lambda: AppearanceNetwork(width=2, hidden=16), appearance_loss),
    "context": (lambda: ContextNetwork(width=4), context_loss),
    "grading": (lambda: GradingNetwork(width=4, blocks=(1, 1, 1, 1)), grading_loss),
}


class Given(nn.Module):
    """Answers what it was given, so that gradients by the answer can be looked at."""

    def __init__(self, *answers: Tensor) -> None:
        super().__init__()
        self.answers = [answer.requires_grad_() for answer in answers]

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        return self.answers if len(self.answers) > 1 else self.answers[0]

    def gradient(self, k: int = 0) -> Tensor:
        gradient = self.answers[k].grad
        assert gradient is not None
        return gradient


def drawn_samples(name: str) -> Iterator[object]:
    for seed in count(TRAINING_SEEDS):
        yield from SAMPLES[name](seed)


def test_no_scored_scan_is_trained_on() -> None:
    assert FIRST_SEED + sum(scans for *_, scans in GROUPS) < HELD_OUT_SEEDS < TRAINING_SEEDS


@pytest.mark.parametrize("name", sorted(CASES))
def test_each_network_learns_a_batch(name: str) -> None:
    make, loss_of = CASES[name]
    torch.manual_seed(0)
    torch.set_num_threads(1)
    network: nn.Module = make()
    batch = batch_of(name, list(islice(drawn_samples(name), 2)))
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(7):
        loss: Tensor = loss_of(network, batch)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.95 * losses[0]


def test_pixels_that_do_not_count_have_no_gradient() -> None:
    counts = np.ones((224, 224), bool)
    counts[:95] = False
    batch = batch_of("detector", [PatchSample(np.zeros((224, 224), np.float32), QUAD[None], counts)])
    network = Given(torch.full((1, 13, 224, 224), 0.5))
    detector_loss(network, batch).backward()  # type: ignore[no-untyped-call]
    gradient = network.gradient()[0]
    assert not gradient[:, :95].any()
    assert gradient[:5, 95:].all()
    assert gradient[5:, 95:].any()


def test_nothing_that_counts_is_a_loss_of_zero() -> None:
    nowhere = PatchSample(np.zeros((224, 224), np.float32), QUAD[None], np.zeros((224, 224), bool))
    network = Given(torch.ones(1, 13, 224, 224))
    assert detector_loss(network, batch_of("detector", [nowhere])).item() == 0
    logits = Given(torch.zeros(2, 24))
    assert appearance_loss(logits, (torch.zeros(1), torch.tensor([-1, -1]))).item() == 0
    rows = Given(torch.zeros(1, 1, 16, 24))
    assert context_loss(rows, (torch.zeros(1), torch.full((1, 16), -1))).item() == 0


def test_grades_and_levels_that_nobody_gave_have_no_gradient() -> None:
    discs = [DiscSample(np.zeros((1, 1, 1), np.float16), np.full(11, -1)) for _ in range(2)]
    discs[1].classes[3] = 0
    heads = Given(*(torch.zeros(2, finding.n_classes) for finding in FINDINGS))
    loss = grading_loss(heads, batch_of("grading", discs))
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == pytest.approx(np.log(FINDINGS[3].n_classes))
    assert not any(heads.gradient(k).any() for k in range(11) if k != 3)
    assert not heads.gradient(3)[0].any()
    assert heads.gradient(3)[1].all()
    levels = Given(torch.zeros(2, 24))
    appearance_loss(levels, (torch.zeros(1), torch.tensor([4, -1]))).backward()  # type: ignore[no-untyped-call]
    assert levels.gradient()[0].all()
    assert not levels.gradient()[1].any()


def test_rare_classes_weigh_more() -> None:
    counts = [(3.0, {"herniation": (90, 10), "pfirrmann": (5, 0, 5, 0, 0)}), (1.0, {})]
    weights = dict(
        zip([f.name for f in FINDINGS], class_weights(counts, LossOptions(balance=1)), strict=True)
    )
    herniation, pfirrmann = weights["herniation"], weights["pfirrmann"]
    assert herniation is not None
    assert pfirrmann is not None
    assert float(herniation[1] / herniation[0]) == pytest.approx(9)
    assert float((herniation * torch.tensor([0.9, 0.1])).sum()) == pytest.approx(1)
    # a class that nobody has seen weighs no more than the limit
    assert float(pfirrmann[1] / pfirrmann[0]) == pytest.approx(10)
    assert weights["narrowing"] is None
    assert class_weights(counts, LossOptions()) == (None,) * 11


def test_weights_are_those_of_the_labelled() -> None:
    weights = [torch.tensor([1.0, 3.0]) if f.n_classes == 2 else None for f in FINDINGS]
    heads = [torch.zeros(3, f.n_classes) for f in FINDINGS]
    binary = next(i for i, f in enumerate(FINDINGS) if f.n_classes == 2)
    heads[binary][1, 0] = 2.0
    loss = grading_loss(Given(*heads), graded(binary, [0, 1, -1]), weights)
    right, wrong = np.log(2), np.log(1 + np.exp(2))
    assert float(loss.detach()) == pytest.approx((right + 3 * wrong) / 4, rel=1e-5)


def test_a_grade_that_narrows_a_finding_down_asks_for_one_of_what_is_left() -> None:
    finding = next(i for i, f in enumerate(FINDINGS) if f.n_classes == 4)
    heads = Given(*(torch.zeros(2, f.n_classes) for f in FINDINGS))
    allowed = np.zeros((11, 5), bool)
    allowed[finding, 1:4] = True
    loss = grading_loss(heads, graded(finding, [-1, 0], [allowed, None]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == pytest.approx((np.log(4 / 3) + np.log(4)) / 2)
    gradient = heads.gradient(finding)[0].numpy()
    assert gradient == pytest.approx(np.array([3, -1, -1, -1]) / 24)


def graded(
    finding: int, classes: list[int], allowed: list[npt.NDArray[np.bool_] | None] | None = None
) -> Batch:
    """A batch of discs without an image that have grades of one finding alone."""
    discs = []
    for given, left in zip(classes, allowed or [None] * len(classes), strict=True):
        of_all = np.full(11, -1)
        of_all[finding] = given
        discs.append(DiscSample(np.zeros((1, 1, 1), np.float16), of_all, left))
    return batch_of("grading", discs)


def test_a_mirrored_disc_changes_sides() -> None:
    discs = (disc for seed in count(TRAINING_SEEDS) for disc in grading_samples(seed))
    disc, mirrored = islice(discs, 2)
    np.testing.assert_array_equal(disc.image[::-1], mirrored.image)
    assert disc.classes[8] == mirrored.classes[9]
    assert disc.classes[9] == mirrored.classes[8]


def test_a_drawn_sample_varies_each_time_that_it_is_shown() -> None:
    source = Drawn("context", Augmentation(gain=0.1, noise=0.02))
    sample = next(iter(source.held_out()))
    one, two = (source.varied(sample, np.random.default_rng(seed)) for seed in (1, 2))
    assert one.image.dtype == sample.image.dtype
    assert 0 < np.abs(one.image - two.image).max() < 0.4
    assert Drawn("context").varied(sample, np.random.default_rng(1)) is sample
