"""A checkpoint: all that a training needs to go on as if it had never stopped, in one file."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from spinenet import __version__
from spinenet.errors import TrainingError
from spinenet.storage.disk import write_whole
from spinenet.training.history import History
from spinenet.training.recipe import Recipe, other_fields, sentence_of

_FORMAT = 1


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The state of a training after a step.

    Attributes
    ----------
    recipe
        By which it is trained.
    digests
        Of its sources' data.
    step
        Steps that are done.
    network, optimiser
        Their state dicts, on the CPU where they were read from a file.
    history
        Losses and scores until now.
    seconds
        Wall time of all steps.
    hardware, versions
        What the latest steps ran on.
    """

    recipe: Recipe
    digests: tuple[str, ...]
    step: int
    network: dict[str, torch.Tensor]
    optimiser: dict[str, Any]
    history: History
    seconds: float
    hardware: str
    versions: dict[str, str]


def checkpoint_file(folder: Path, network: str) -> Path:
    """Where a network's checkpoint lies in the folder of a training."""
    return folder / f"{network}.pt"


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write or replace a checkpoint; a kill at any time leaves the one before it or this one, whole."""
    state = {
        "format": _FORMAT,
        "recipe": checkpoint.recipe.model_dump_json(),
        "digests": list(checkpoint.digests),
        "step": checkpoint.step,
        "network": checkpoint.network,
        "optimiser": checkpoint.optimiser,
        "history": [dict(row) for row in checkpoint.history],
        "seconds": checkpoint.seconds,
        "hardware": checkpoint.hardware,
        "versions": dict(checkpoint.versions),
    }
    write_whole(path, lambda file: torch.save(state, file))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises
    ------
    TrainingError
        The file is no checkpoint, or one of another version or by a recipe that is not read.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise TrainingError(f"There is no checkpoint {path}.") from error
    except Exception as error:  # torch raises of many kinds for what is not its file
        raise TrainingError(f"{path} is not a readable checkpoint ({type(error).__name__}).") from error
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        raise TrainingError(f"{path} is no checkpoint that this spinenet reads; begin in another folder.")
    try:
        recipe = Recipe.model_validate_json(state["recipe"])
    except ValidationError as error:
        raise TrainingError(sentence_of(error, f"The recipe in {path}")) from error
    return Checkpoint(
        recipe=recipe,
        digests=tuple(state["digests"]),
        step=state["step"],
        network=state["network"],
        optimiser=state["optimiser"],
        history=state["history"],
        seconds=state["seconds"],
        hardware=state["hardware"],
        versions=state["versions"],
    )


def check_same(checkpoint: Checkpoint, recipe: Recipe, digests: Iterable[str], path: Path) -> None:
    """Raise TrainingError, which names what differs, where a checkpoint is not of this recipe and data."""
    digests = tuple(digests)
    if checkpoint.recipe.fingerprint(checkpoint.digests) == recipe.fingerprint(digests):
        return
    fields = other_fields(checkpoint.recipe.plain(), recipe.plain())
    differs = ", ".join(fields) if fields else "the sources' data"
    raise TrainingError(
        f"{path} is a checkpoint of another recipe, which differs in {differs}:"
        " train by its recipe, or begin in another folder."
    )


def hardware_of(device: torch.device, ranks: int = 1) -> str:
    """What a training runs on, for its card."""
    one = f"{len(os.sched_getaffinity(0))} CPU cores ({platform.machine()})"
    if device.type == "cuda":
        one = f"{torch.cuda.get_device_name(device)}, {one}"
    return one if ranks == 1 else f"{ranks} processes, each of {one}"


def versions_here() -> dict[str, str]:
    """Versions of what computes."""
    return {
        "spinenet": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "opencv": metadata.version("opencv-python-headless"),
    }
