"""Golden cases: the files, and the inputs that their formulas describe."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from spinenet.types import Window

GOLDEN = Path(os.environ.get("SPINENET_GOLDEN", Path(__file__).parents[1] / "data" / "golden"))
Array = npt.NDArray[Any]


def load(name: str) -> Any:
    """The content of one golden file."""
    return json.loads((GOLDEN / f"{name}.json").read_text())


def each_case(name: str) -> pytest.MarkDecorator:
    """Run a test for every case of one golden file, however many it holds."""
    cases = load(name)
    return pytest.mark.parametrize("case", cases, ids=[f"{name}{i}" for i in range(len(cases))])


def assert_samples(actual: Array, expected: dict[str, Any], tolerance: float) -> None:
    """Compare an array with a golden record of its shape, moments and samples; tolerance in value ranges."""
    assert list(actual.shape) == expected["shape"]
    assert np.isfinite(actual).all()
    value = np.asarray(expected["value"])
    scale = float(np.ptp(value)) or 1.0
    np.testing.assert_allclose(
        actual.reshape(-1)[expected["flat_index"]], value, rtol=0, atol=tolerance * scale
    )
    assert abs(float(actual.mean(dtype=np.float64)) - expected["mean"]) < tolerance * scale
    assert abs(float(actual.std(dtype=np.float64)) - expected["std"]) < tolerance * scale


def with_formula_weights(network: nn.Module) -> nn.Module:
    """Fill a network with the formula weights, in evaluation mode."""
    for i, (name, tensor) in enumerate(network.state_dict().items()):
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


def formula_input(shape: Sequence[int]) -> torch.Tensor:
    """A network's input."""
    values = 0.5 + 0.5 * np.sin(0.11 * np.arange(np.prod(shape), dtype=np.float64))
    return torch.from_numpy(values.astype(np.float32).reshape(tuple(shape)))


def formula_scan(height: int, width: int, slices: int, phase: float) -> Array:
    """(H, W, S) float32 of waves."""
    y, x, z = np.meshgrid(np.arange(height), np.arange(width), np.arange(slices), indexing="ij", sparse=True)
    volume = 500 + 180 * np.sin(x / 23 + phase) * np.cos(y / 31 - phase)
    volume = volume + 120 * np.sin((x + 2 * y) / 17 + 0.7 * z) + 60 * np.cos(x * y / 9000 + 0.3 * z)
    waves: Array = volume.astype(np.float32)
    return waves


def rendered_responses(
    windows: Sequence[Window], quads: Array, changes: Sequence[dict[str, Any]] = ()
) -> Array:
    """(n, 13, 224, 224) responses of a perfect detector to (v, 4, 2) quads, then changed step by step."""
    return np.stack([_rendered(window, np.reshape(quads, (-1, 4, 2)), changes) for window in windows])


def _rendered(window: Window, quads: Array, changes: Sequence[dict[str, Any]]) -> Array:
    maps = np.zeros((13, 224, 224), np.float32)
    row, column = np.indices((224, 224))
    scale = np.array([224 / window.width, 224 / window.height])

    def distance(point: Array) -> Array:
        from_point: Array = np.hypot(column - point[0], row - point[1])
        return from_point

    def on_patch(point: Array) -> Array:
        scaled: Array = (np.asarray(point) - (window.left, window.top)) * scale
        return scaled

    for quad in on_patch(quads):
        centre = quad.mean(axis=0)
        maps[4] = np.maximum(maps[4], np.exp(-(distance(centre) ** 2) / 32))
        for k, corner in enumerate(quad):
            d = distance(corner)
            maps[k] = np.maximum(maps[k], np.exp(-(d**2) / 18))
            maps[5 + k][d < 12], maps[9 + k][d < 12] = centre - corner
    for change in changes:
        if "scale_channel" in change:
            maps[change["scale_channel"]] *= change["by"]
            continue
        d = distance(on_patch(np.asarray(change["centre_xy"])))
        if "disc_channel" in change:
            maps[change["disc_channel"]][d < change["radius_patch_px"]] = change["value"]
        elif "add_to_channel" in change:
            maps[change["add_to_channel"]][d < change["radius_patch_px"]] += change["value"]
        else:
            k = change["peak_channel"]
            maps[k] = np.maximum(maps[k], np.exp(-(d**2) / (2 * change["sigma_patch_px"] ** 2)))
            if "arrow_xy_patch_px" in change:
                inside = d < change["arrow_disc_radius_patch_px"]
                maps[5 + k][inside], maps[9 + k][inside] = change["arrow_xy_patch_px"]
    return maps
