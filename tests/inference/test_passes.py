"""Batches grow smaller where memory runs out, and nothing of the outputs changes."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from torch import nn

from spinenet.errors import ScanError
from spinenet.inference.passes import pass_through

IMAGES = np.random.default_rng(3).normal(size=(11, 1, 6, 5)).astype(np.float32)


class Greedy(nn.Module):
    """Doubles images, and runs out of memory on more than ``most`` of them."""

    def __init__(self, most: int, error: Exception | None = None) -> None:
        super().__init__()
        self.most, self.error = most, error
        self.batches: list[int] = []

    def forward(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.batches.append(len(batch))
        if len(batch) > self.most:
            if self.error is not None:
                raise self.error
            # more than any machine has: torch's own error of a CPU
            torch.empty(1 << 60, dtype=torch.uint8)
        return 2 * batch, batch.mean((1, 2, 3))


@pytest.mark.parametrize("error", [None, torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
@pytest.mark.parametrize(
    ("most", "batches"),
    [(8, [8, 3]), (5, [8, 4, 4, 3]), (2, [8, 4, 2, 2, 2, 2, 2, 1]), (1, [8, 4, 2] + [1] * 11)],
)
def test_batches_are_halved_until_they_fit(error: Exception | None, most: int, batches: list[int]) -> None:
    network = Greedy(most, error)
    doubled, means = pass_through(network, IMAGES, 8)
    assert network.batches == batches
    np.testing.assert_array_equal(doubled, 2 * IMAGES)
    np.testing.assert_allclose(means, IMAGES.mean((1, 2, 3)), rtol=1e-5, atol=1e-7)


def test_a_single_image_that_is_too_much_is_the_scans_own_reason(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(ScanError) as caught:
        pass_through(Greedy(0), IMAGES, 4)
    assert caught.value.reason == "out_of_memory"
    assert [record.args[1] for record in caplog.records if isinstance(record.args, tuple)] == [2, 1]


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    with pytest.raises(RuntimeError, match="shape"):
        pass_through(Greedy(0, RuntimeError("shape of weights")), IMAGES, 4)
