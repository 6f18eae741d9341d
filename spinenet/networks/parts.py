"""The four networks by name: built to a given size, filled from a state dict that must fit exactly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from spinenet.errors import WeightsError
from spinenet.networks.detector import Detector
from spinenet.networks.grading import GradingNetwork
from spinenet.networks.labelling import AppearanceNetwork, ContextNetwork
from spinenet.networks.shapes import Architecture

CLASSES: Mapping[str, Callable[..., nn.Module]] = {
    "detector": Detector,
    "appearance": AppearanceNetwork,
    "context": ContextNetwork,
    "grading": GradingNetwork,
}
Module = TypeVar("Module", bound=nn.Module)
_NAMED_AT_MOST = 3  # a wrong file mismatches in hundreds of keys; a few show what it is


def build(part: str, architecture: Architecture) -> nn.Module:
    """One network without values: its parameters are on the meta device.

    Raises
    ------
    WeightsError
        If the architecture has no such part, or its arguments do not fit the part's class.
    """
    # On the meta device: parameters are assigned afterwards, so random numbers would be drawn for nothing.
    try:
        with torch.device("meta"):
            return CLASSES[part](**architecture[part])
    except (TypeError, ValueError, KeyError, RuntimeError) as error:
        raise WeightsError(f"The architecture of {part} cannot be built: {error}.") from error


def load_state(part: str, architecture: Architecture, state: Mapping[str, Tensor], where: str) -> nn.Module:
    """The network of one part with the given parameters, float32 on the CPU, in evaluation mode.

    Raises
    ------
    WeightsError
        If a name or shape does not match; the message names some that do not.
    """
    return load_into(build(part, architecture), state, where)


def load_into(network: Module, state: Mapping[str, Tensor], where: str) -> Module:
    """A network without values, filled as :func:`load_state` does."""
    check_state(network.state_dict(), state, where)
    network.load_state_dict(
        {key: _widened(tensor) for key, tensor in state.items()}, strict=True, assign=True
    )
    return network.eval()


def check_state(expected: Mapping[str, Tensor], state: Mapping[str, Tensor], where: str) -> None:
    """Compare names and shapes of two state dicts.

    Raises
    ------
    WeightsError
        Naming what is missing, not expected, or of another shape.
    """
    missing = [key for key in expected if key not in state]
    unexpected = [key for key in state if key not in expected]
    reshaped = [
        f"{key} is {tuple(state[key].shape)}, not {tuple(tensor.shape)}"
        for key, tensor in expected.items()
        if key in state and state[key].shape != tensor.shape
    ]
    complaints = [
        f"{len(names)} {what} ({', '.join(names[:_NAMED_AT_MOST])}{', ...' * (len(names) > _NAMED_AT_MOST)})"
        for what, names in (("missing", missing), ("not expected", unexpected), ("of wrong shape", reshaped))
        if names
    ]
    if complaints:
        raise WeightsError(f"{where} does not fit its network: parameters {'; '.join(complaints)}.")


def _widened(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor
