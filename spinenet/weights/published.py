"""Converts the published SpineNetV2 checkpoints to a bundle."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spinenet.errors import WeightsError
from spinenet.networks.parts import load_state
from spinenet.weights.bundle import Bundle
from spinenet.weights.description import PARTS, sha256_of
from spinenet.weights.downloads import storage_errors
from spinenet.weights.networks import Networks, save_bundle
from spinenet.weights.release import SPINENET_V2, Release

# Checkpoints often hold the loss as a NumPy scalar. Unpickling one runs no code of the file, so torch's
# restricted unpickler may be allowed to.
_REBUILD = np.float64().__reduce__()[0]
_HARMLESS: list[Any] = [
    (_REBUILD, "numpy.core.multiarray.scalar"),
    (_REBUILD, "numpy._core.multiarray.scalar"),
    np.dtype,
    np.dtypes.Float32DType,
    np.dtypes.Float64DType,
    np.dtypes.Int64DType,
]


def import_published(folder: Path, target: Path, release: Release = SPINENET_V2) -> Bundle:
    """Convert a folder of the published ``.pt`` files to a bundle.

    Parameters
    ----------
    folder
        Folder of the checkpoints under their published paths, such as ``detect-vfr/ckpt435.pt``.
    target
        Folder of the new bundle.
    release
        Expected files, keys and sizes.

    Returns
    -------
    Bundle
        What is in ``target`` now.

    Raises
    ------
    WeightsError
        If a file is missing, cannot be read without running code, or does not fit its network; the
        message names what does not match.
    """
    absent = [item.path for item in release.checkpoints.values() if not (folder / item.path).is_file()]
    if absent:
        raise WeightsError(f"{folder} does not hold {', '.join(absent)}.")
    modules = {part: read_checkpoint(folder, part, release) for part in PARTS}
    with storage_errors(target):
        return save_bundle(
            target,
            Networks.of(modules),
            name=release.name,
            architecture=release.architecture,
            licence=release.terms,
            acceptance_required=True,
            origin=f"Converted from the checkpoints published at {release.base_url}",
            training_data="See arXiv:2205.01683 and arXiv:2007.02606",
            figures={},
            domain=release.domain,
            sources={item.path: sha256_of(folder / item.path) for item in release.checkpoints.values()},
        )


def read_checkpoint(folder: Path, part: str, release: Release = SPINENET_V2) -> nn.Module:
    """Read one network from its published file.

    Raises
    ------
    WeightsError
        See :func:`import_published`.
    """
    item = release.checkpoints[part]
    path = folder / item.path
    contents = _unpickled(path)
    state = contents.get(item.key) if isinstance(contents, dict) else None
    if not isinstance(state, dict):
        contents_shown = (
            ", ".join(map(str, list(contents)[:5])) if isinstance(contents, dict) else type(contents).__name__
        )
        raise WeightsError(f"{path} holds no state dict under {item.key!r}; it holds {contents_shown}.")
    wrong = [key for key, value in state.items() if not (isinstance(key, str) and isinstance(value, Tensor))]
    if wrong:
        raise WeightsError(f"{path} holds something else than a tensor at {wrong[0]!r}.")
    return load_state(part, release.architecture, _without_wrapper(state), str(path))


def _unpickled(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals(_HARMLESS), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            # mmap: only the tensors of the state dict are read, not an optimiser's, and one at a time
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (pickle.UnpicklingError, RuntimeError, ValueError, KeyError, EOFError, AttributeError) as error:
        first_line = str(error).strip().partition("\n")[0].rstrip(".")
        raise WeightsError(f"{path} is no checkpoint that can be read safely: {first_line}.") from error
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}.") from error


def _without_wrapper(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # torch.nn.DataParallel prefixes every name with "module."
    prefix = "module."
    if state and all(key.startswith(prefix) for key in state):
        return {key.removeprefix(prefix): value for key, value in state.items()}
    return dict(state)
