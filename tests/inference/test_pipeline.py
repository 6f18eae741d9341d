"""A whole scan with tiny untrained networks, and with a detector that knows the answer."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from spinenet.geometry import rescale_quads, to_square_pixels
from spinenet.inference.pipeline import detect, grade, label, read_spine
from spinenet.settings import Settings
from spinenet.stages.windows import tile
from spinenet.types import Scan, Vertebra
from spinenet.weights.networks import Networks
from support.golden_cases import Array, formula_scan, rendered_responses
from support.tiny_networks import tiny_networks

BODY = np.array([[36.0, 1.0], [34.0, 25.0], [1.0, 26.0], [0.0, 0.0]])


class Knowing(nn.Module):
    """A detector that answers with the same responses for every slice, in batches as asked."""

    def __init__(self, responses: Array) -> None:
        super().__init__()
        self.responses, self.next = torch.from_numpy(responses), 0
        self.largest_batch = 0

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        assert patches.shape[1:] == (1, 224, 224)
        index = (self.next + torch.arange(len(patches))) % len(self.responses)
        self.next += len(patches)
        self.largest_batch = max(self.largest_batch, len(patches))
        return self.responses[index]


def truth(n: int = 5) -> Array:
    """(n, 4, 2) bodies below one another."""
    bodies: Array = BODY + np.array([[110 + 2 * i, 50 + 33 * i] for i in range(n)], dtype=float)[:, None]
    return bodies


def knowing_networks(scan: Scan, quads: Array) -> Networks:
    """Tiny networks but for the detector."""
    square = to_square_pixels(scan)
    windows, _ = tile(*square.shape[:2], square.pixel_spacing[0])
    return replace(tiny_networks(), detector=Knowing(rendered_responses(list(dict.fromkeys(windows)), quads)))


@pytest.fixture
def scan() -> Scan:
    """Waves."""
    return Scan(formula_scan(300, 260, 5, 0.3), (0.9, 0.9), 4.0)


def test_every_step_of_a_scan(scan: Scan) -> None:
    networks = knowing_networks(scan, truth())
    reading = read_spine(scan, networks, Settings(batch_size=3))
    assert networks.detector.largest_batch == 3
    assert len(reading.vertebrae) == 5
    for vertebra, quad in zip(reading.vertebrae, truth(), strict=True):
        assert vertebra.slices == (0, 1, 2, 3, 4)
        # A corner is a pixel of a patch, here of 1.2 pixels of the scan.
        assert np.abs(vertebra.mean_quad - quad).max() < 2
        assert vertebra.level_probabilities is not None
        assert vertebra.level_probabilities.sum() == pytest.approx(1)
    levels = [v.level for v in reading.vertebrae]
    assert [g.level for g in reading.grades] == [f"{a}-{b}" for a, b in itertools.pairwise(levels)]
    assert reading.failures == ()
    assert set(reading.seconds) == {"detect", "label", "grade"}


def test_networks_that_threads_share_are_left_as_they_are(scan: Scan) -> None:
    networks = tiny_networks()
    parts = (networks.detector, networks.appearance, networks.context, networks.grading)
    parameters = [parameter for part in parts for parameter in part.parameters()]

    def state() -> list[tuple[int, tuple[int, ...]]]:
        return [(parameter.data_ptr(), parameter.stride()) for parameter in parameters]

    before = state()
    read_spine(scan, networks)
    # one that is moved while another thread computes with it spoils that thread's scan
    assert state() == before


def test_batches_change_nothing(scan: Scan) -> None:
    one, many = (
        read_spine(scan, knowing_networks(scan, truth()), Settings(batch_size=size)) for size in (1, 16)
    )
    for a, b in zip(one.vertebrae, many.vertebrae, strict=True):
        np.testing.assert_allclose(a.quads, b.quads)
        assert a.level_probabilities is not None
        assert b.level_probabilities is not None
        np.testing.assert_allclose(a.level_probabilities, b.level_probabilities, atol=1e-6)
    for disc, other in zip(one.grades, many.grades, strict=True):
        for name, row in disc.probabilities.items():
            np.testing.assert_allclose(row, other.probabilities[name], atol=1e-5)


def test_oblong_pixels_are_squared_and_mapped_back() -> None:
    scan = Scan(formula_scan(200, 260, 3, 0.1), (1.35, 0.9), 4.0)
    reading = read_spine(scan, knowing_networks(scan, truth()))
    expected = rescale_quads(truth(), (0.9, 0.9), scan.pixel_spacing)
    assert len(reading.vertebrae) == 5
    for vertebra, quad in zip(reading.vertebrae, expected, strict=True):
        assert np.abs(vertebra.mean_quad - quad).max() < 2
    again = read_spine(scan, tiny_networks(), detections=reading.detections)
    assert [v.level for v in again.vertebrae] == [v.level for v in reading.vertebrae]
    np.testing.assert_allclose(again.vertebrae[0].quads, reading.vertebrae[0].quads, atol=1e-9)


def test_empty_detection_is_an_empty_reading(scan: Scan) -> None:
    networks = tiny_networks()
    with torch.no_grad():
        for parameter in networks.detector.get_submodule("out").parameters():
            parameter.zero_()
    reading = read_spine(scan, networks)
    assert (reading.vertebrae, reading.grades, reading.failures) == ((), (), ())
    assert label(scan, (), networks, Settings()) == ()
    assert grade(scan, (), networks, Settings()) == ((), ())
    assert read_spine(scan, networks, detections=()).vertebrae == ()


def test_untrained_detector_gives_some_answer_of_the_right_form(scan: Scan) -> None:
    for vertebra in detect(scan, tiny_networks(), Settings(remove_single_slice=False)):
        assert vertebra.quads.shape == (len(vertebra.slices), 4, 2)
        assert vertebra.level == ""


def test_a_disc_that_cannot_be_graded_is_told_and_the_others_are_graded() -> None:
    volume = formula_scan(300, 260, 5, 0.3)
    volume[:115] = 0
    scan = Scan(volume, (0.9, 0.9), 4.0)
    names = ("L1", "L2", "L3", "L4", "S1", "S1", "S2")
    vertebrae = [
        Vertebra((1, 2, 3), np.repeat(quad[None], 3, axis=0), name)
        for quad, name in zip(truth(7), names, strict=True)
    ]
    grades, failures = grade(scan, vertebrae, tiny_networks(), Settings())
    assert [g.level for g in grades] == ["L2-L3", "L3-L4", "S1-S2"]
    assert [f.level for f in failures] == ["L1-L2"]
    assert "median" in failures[0].detail


def test_a_disc_found_twice_is_graded_once() -> None:
    scan = Scan(formula_scan(300, 260, 5, 0.3), (0.9, 0.9), 4.0)
    vertebrae = [
        Vertebra((1, 2, 3), np.repeat(quad[None], 3, axis=0), name)
        for quad, name in zip(truth(4), ("L4", "L5", "L4", "L5"), strict=True)
    ]
    grades, failures = grade(scan, vertebrae, tiny_networks(), Settings())
    assert [g.level for g in grades] == ["L4-L5"]
    assert [f.level for f in failures] == ["L4-L5"]


def test_reversed_slices_give_mirrored_vertebrae(scan: Scan) -> None:
    """The same slices read the other way round: the same vertebrae, each slice counted from the other end."""
    square = to_square_pixels(scan)
    windows, _ = tile(*square.shape[:2], square.pixel_spacing[0])
    distinct = list(dict.fromkeys(windows))
    slices = [rendered_responses(distinct, truth()[: 5 - k % 2] + np.array((k, 0))) for k in range(5)]
    forward = detect(scan, replace(tiny_networks(), detector=Knowing(np.concatenate(slices))), Settings())
    backward = detect(
        scan, replace(tiny_networks(), detector=Knowing(np.concatenate(slices[::-1]))), Settings()
    )
    assert [tuple(4 - s for s in reversed(v.slices)) for v in backward] == [v.slices for v in forward]
    for a, b in zip(forward, backward, strict=True):
        np.testing.assert_allclose(a.quads, b.quads[::-1])


def test_batch_size_must_be_positive() -> None:
    with pytest.raises(ValueError, match="batch_size"):
        Settings(batch_size=0)
