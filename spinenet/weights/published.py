"""The published SpineNetV2 checkpoints: their URL and terms, and their conversion to a bundle."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spinenet.errors import WeightsError
from spinenet.networks.parts import PUBLISHED_ARCHITECTURE, Architecture, load_state
from spinenet.weights.bundle import Bundle
from spinenet.weights.description import PARTS, sha256_of
from spinenet.weights.downloads import storage_errors
from spinenet.weights.names import PUBLISHED
from spinenet.weights.networks import Networks, save_bundle

PUBLISHED_URL = "https://www.robots.ox.ac.uk/~vgg/research/spinenet/weights"
PUBLISHED_TERMS = """\
The SpineNetV2 weights were trained and are published by the Visual Geometry Group of the University of
Oxford. They are no part of this package. They, and what is computed with them, come under the
University's own terms, which are published with them at
https://www.robots.ox.ac.uk/~vgg/research/spinenet/ and which you must read and accept before you fetch
or use them: in short, research and no commerce. They are not a medical device; no diagnosis and no
decision about a patient may rest on them.
"""


@dataclass(frozen=True)
class Checkpoint:
    """A published file: its path below the base URL, and the key of the state dict in it."""

    path: str
    key: str


@dataclass(frozen=True)
class Release:
    """A set of four checkpoints served under one URL.

    Attributes
    ----------
    name
        Name of the bundle that they are converted to.
    base_url
        URL below which the checkpoints lie.
    checkpoints
        One for each of the four networks, by its name.
    architecture
        Sizes of the networks, which the checkpoints must fit.
    terms
        Terms of use, to be accepted before fetching.
    """

    name: str
    base_url: str
    checkpoints: Mapping[str, Checkpoint]
    architecture: Architecture
    terms: str


SPINENET_V2 = Release(
    name=PUBLISHED,
    base_url=PUBLISHED_URL,
    checkpoints={
        "detector": Checkpoint("detect-vfr/ckpt435.pt", "net"),
        "appearance": Checkpoint("appearance/ckpt187.pt", "net"),
        "context": Checkpoint("context/ckpt16.pt", "net"),
        "grading": Checkpoint("grading/ckpt1.pt", "model_weights"),
    },
    architecture=PUBLISHED_ARCHITECTURE,
    terms=PUBLISHED_TERMS,
)

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
            Networks(**modules),
            name=release.name,
            architecture=release.architecture,
            licence=release.terms,
            acceptance_required=True,
            origin=f"Converted from the checkpoints published at {release.base_url}",
            training_data="See arXiv:2205.01683 and arXiv:2007.02606",
            figures={},
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
