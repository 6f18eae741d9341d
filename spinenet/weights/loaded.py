"""The networks of a run in a process that does its scans: loaded once, and only if they are the run's."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spinenet.errors import WeightsError
from spinenet.weights.resolving import resolve

if TYPE_CHECKING:
    from spinenet.weights.networks import Networks

THREADS_VARIABLE = "SPINENET_TORCH_THREADS"
"""Variable with the threads of one inference on a CPU; without it torch takes all cores."""


@dataclass(frozen=True)
class WeightsRef:
    """Weights as another process finds them: by source, and only if the fingerprint is the run's.

    Attributes
    ----------
    source
        A name, a folder that the process sees too, or a URL in its own store.
    name
        Of the bundle.
    fingerprint
        One digest over the bundle's files.
    """

    source: str
    name: str
    fingerprint: str


_held: dict[tuple[str, str], Networks] = {}
_holding = threading.Lock()


def networks_for(ref: WeightsRef, device: str, here: str) -> tuple[Networks, bool]:
    """The run's networks, loaded once per process and kept for later runs.

    Parameters
    ----------
    device
        "auto", or a device of torch such as "cpu" or "cuda:0".
    here
        Name of the worker, for the error.

    Returns
    -------
    tuple
        (networks, whether this call loaded them).

    Raises
    ------
    WeightsError
        The weights that this process finds are not those of the run.
    """
    # Not above: processes that only decode do without torch, which takes seconds to import.
    import torch

    from spinenet.weights.networks import load_networks

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if THREADS_VARIABLE in os.environ:
        torch.set_num_threads(int(os.environ[THREADS_VARIABLE]))
    with _holding:
        held = _held.get((ref.fingerprint, device))
        if held is not None:
            return held, False
        bundle = resolve(ref.source)
        if bundle.fingerprint != ref.fingerprint:
            raise WeightsError(
                f"worker {here} has other weights under {ref.source} than the run was begun with"
            )
        networks = load_networks(bundle, device)
        _held.clear()
        _held[ref.fingerprint, device] = networks
        return networks, True
