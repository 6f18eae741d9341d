"""Every golden file: what the published computation gave for given inputs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from spinenet.networks.detector import Detector
from spinenet.networks.grading import GradingNetwork
from spinenet.networks.labelling import AppearanceNetwork, ContextNetwork

GOLDEN = Path(os.environ.get("SPINENET_GOLDEN", Path(__file__).parent / "data" / "golden"))
NETWORKS: dict[str, type[nn.Module]] = {
    "detector": Detector,
    "appearance": AppearanceNetwork,
    "context": ContextNetwork,
    "grading": GradingNetwork,
}


def golden(name: str) -> Any:
    """The content of one golden file."""
    return json.loads((GOLDEN / f"{name}.json").read_text())


def assert_samples(actual: npt.NDArray[Any], expected: dict[str, Any], tolerance: float) -> None:
    """Compare an array with a golden record of its shape, moments and samples."""
    assert list(actual.shape) == expected["shape"]
    value = np.asarray(expected["value"])
    scale = max(1.0, float(np.ptp(value)))
    np.testing.assert_allclose(
        actual.reshape(-1)[expected["flat_index"]], value, rtol=0, atol=tolerance * scale
    )
    assert abs(float(actual.mean(dtype=np.float64)) - expected["mean"]) < tolerance * scale
    assert abs(float(actual.std(dtype=np.float64)) - expected["std"]) < tolerance * scale


def with_formula_weights(network: nn.Module) -> nn.Module:
    """Fill a network with the formula weights, in evaluation mode."""
    state = network.state_dict()
    for i, (name, tensor) in enumerate(state.items()):
        n = tensor.numel()
        wave = np.sin(0.37 * np.arange(n, dtype=np.float64) + i)
        if name.endswith("num_batches_tracked"):
            values = np.zeros(n)
        elif name.endswith("running_var"):
            values = 1 + 0.2 * wave
        elif name.endswith("running_mean"):
            values = 0.05 * wave
        elif tensor.ndim == 1:
            values = 1 + 0.1 * wave if name.endswith("weight") else 0.02 * wave
        else:
            values = wave * np.sqrt(2 / (n / tensor.shape[0]))
        tensor.copy_(torch.from_numpy(values.reshape(tuple(tensor.shape))))
    return network.eval()


@pytest.mark.parametrize("name", NETWORKS)
def test_network(name: str) -> None:
    case = golden("networks")[name]
    network = with_formula_weights(NETWORKS[name]())
    shapes = {key: list(value.shape) for key, value in network.state_dict().items()}
    assert list(shapes.items()) == list(case["state_dict"].items())
    n = int(np.prod(case["input_shape"]))
    values = (0.5 + 0.5 * np.sin(0.11 * np.arange(n, dtype=np.float64))).astype(np.float32)
    with torch.inference_mode():
        outputs = network(torch.from_numpy(values.reshape(case["input_shape"])))
    if isinstance(outputs, torch.Tensor):
        outputs = (outputs,)
    assert len(outputs) == len(case["outputs"])
    for output, expected in zip(outputs, case["outputs"], strict=True):
        assert_samples(output.numpy(), expected, 1e-5)
