"""The four networks of a weights bundle: loaded from its safetensors files, or written as new ones."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from spinenet.added_findings import AddedFinding
from spinenet.errors import WeightsError
from spinenet.networks.added import FEATURES_VERSION, AddedHead, WithAdded
from spinenet.networks.parts import build, check_state, load_into, load_state
from spinenet.networks.shapes import Architecture
from spinenet.storage.disk import Content, sweep, write_together
from spinenet.weights.bundle import Bundle
from spinenet.weights.description import (
    DESCRIPTION_FILE,
    PARTS,
    PLAIN_VERSION,
    added_file,
    file_name,
    sha256_of,
)
from spinenet.weights.domain import Domain

_DTYPES: Mapping[str, torch.dtype] = {"float32": torch.float32, "float16": torch.float16}


@dataclass(frozen=True, eq=False)
class Networks:
    """The four networks, in evaluation mode.

    Attributes
    ----------
    detector, appearance, context, grading
        Modules with the published input and output shapes.
    added
        Heads of the findings that the bundle adds.
    """

    detector: nn.Module
    appearance: nn.Module
    context: nn.Module
    grading: nn.Module
    added: tuple[AddedHead, ...] = ()

    @classmethod
    def of(cls, modules: Mapping[str, nn.Module], added: tuple[AddedHead, ...] = ()) -> Networks:
        """The networks of a mapping by their names."""
        return cls(
            detector=modules["detector"],
            appearance=modules["appearance"],
            context=modules["context"],
            grading=modules["grading"],
            added=added,
        )

    @property
    def findings(self) -> tuple[AddedFinding, ...]:
        """Findings that the bundle adds to the eleven."""
        return tuple(head.finding for head in self.added)

    @property
    def disc_grading(self) -> nn.Module:
        """The grading network, with the added heads of findings of a disc where there are any."""
        heads = [head for head in self.added if head.finding.of == "disc"]
        return WithAdded(self.grading, heads) if heads else self.grading

    @property
    def body_grading(self) -> nn.Module:
        """The added heads of findings of a vertebra, over the grading network's trunk."""
        heads = [head for head in self.added if head.finding.of == "vertebra"]
        return WithAdded(self.grading, heads, alone=True)


def save_bundle(
    folder: Path,
    networks: Networks,
    *,
    name: str,
    architecture: Architecture,
    licence: str,
    origin: str,
    training_data: str,
    figures: Mapping[str, Any],
    dtype: str = "float32",
    acceptance_required: bool = False,
    domain: Domain | None = None,
    sources: Mapping[str, str] | None = None,
) -> Bundle:
    """Write the four networks as a bundle; an older bundle in the folder is replaced at the end.

    Parameters
    ----------
    folder
        Made where it does not exist.
    networks
        Modules whose parameters fit ``architecture``.
    name
        What the bundle calls itself.
    architecture
        For each of :data:`PARTS` the keyword arguments of its class, such as ``{"width": 8}``.
    licence, origin, training_data
        Sentences for the reader of ``bundle.json``.
    figures
        Measured quality, JSON values.
    dtype
        "float32" or "float16" of the stored numbers; they are read back as float32.
    acceptance_required
        Whether whoever fetches the bundle from a URL must accept ``licence`` first.
    domain
        What the bundle is for; None where that is not known.
    sources
        File name to SHA-256 of the files that the bundle was converted from.

    Returns
    -------
    Bundle
        What was written, with the digests of the files as they were read back.

    Raises
    ------
    WeightsError
        If a network does not fit ``architecture``, or a number is too large for float16.
    OSError
        If the folder cannot be written.
    """
    states = {
        part: _storable(part, getattr(networks, part), architecture, _known_dtype(dtype)) for part in PARTS
    }
    digests: dict[str, str] = {}
    description = {
        "format": "spinenet-bundle",
        "format_version": PLAIN_VERSION,
        "name": name,
        "architecture": {part: dict(architecture[part]) for part in PARTS},
        "dtype": dtype,
        "files": digests,
        "licence": licence,
        "acceptance_required": acceptance_required,
        "origin": origin,
        "training_data": training_data,
        **({"domain": domain.plain()} if domain else {}),
        "figures": dict(figures),
        **({"sources": dict(sources)} if sources else {}),
    }

    def write_part(part: str, path: Path) -> None:
        written(states[part], path)
        digests[file_name(part)] = sha256_of(path)

    contents: dict[Path, Content] = {folder / file_name(part): partial(write_part, part) for part in PARTS}
    # last, when the digests are known
    contents[folder / DESCRIPTION_FILE] = partial(described, description)
    sweep([folder])
    write_together(contents)
    return Bundle(folder, description, digests)


def load_networks(bundle: Bundle, device: str | torch.device = "cpu") -> Networks:
    """Build the networks of a bundle; its files were verified when it was found and are not hashed again.

    Parameters
    ----------
    bundle
        From :func:`spinenet.weights.resolve`, or from whatever wrote or fetched it.
    device
        Where the parameters go, as float32.

    Raises
    ------
    WeightsError
        If a file cannot be read, or does not fit the bundle's own architecture.
    """
    modules: dict[str, nn.Module] = {}
    for part in PARTS:
        path = bundle.folder / file_name(part)
        modules[part] = load_state(part, bundle.description["architecture"], _read(path), str(path)).to(
            device
        )
    if torch.device(device).type == "cpu":
        # 2-D convolutions on a CPU are fastest with channels last. Here and not where images pass through:
        # threads share the networks, and one must not move parameters that another computes with.
        modules["detector"].to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Networks.of(modules, tuple(head.to(device) for head in _added(bundle)))


def _added(bundle: Bundle) -> Iterator[AddedHead]:
    size = bundle.description["architecture"]["grading"]
    for finding, told in zip(bundle.added, bundle.description.get("added", ()), strict=True):
        path = bundle.folder / added_file(finding.name)
        if told.get("features") != FEATURES_VERSION:
            raise WeightsError(f"{path} is a head of another version of spinenet; train it anew.")
        with torch.device("meta"):
            head = AddedHead(finding, size, own_trunk=bool(told.get("own_trunk")))
        yield load_into(head, _read(path), str(path))


def _read(path: Path) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is not a readable safetensors file: {error}.") from error
    return state


def _storable(
    part: str, network: nn.Module, architecture: Architecture, dtype: torch.dtype
) -> dict[str, Tensor]:
    state = network.state_dict()
    check_state(build(part, architecture).state_dict(), state, f"The {part} to save")
    return stored(part, network, dtype)


def stored(what: str, network: nn.Module, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """A network's numbers on the CPU, as they are kept; ``what`` names it in errors.

    Raises
    ------
    WeightsError
        A number is too large for ``dtype``, or none.
    """
    state = {
        key: tensor.detach().to("cpu", dtype if tensor.is_floating_point() else None).contiguous()
        for key, tensor in network.state_dict().items()
    }
    for key, tensor in state.items():
        if not bool(torch.isfinite(tensor).all()):
            raise WeightsError(f"The {what} cannot be saved: {key} has numbers that {dtype} cannot hold.")
    return state


def described(description: Mapping[str, Any], path: Path) -> None:
    """Write a bundle's description."""
    path.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def written(state: dict[str, Tensor], path: Path) -> None:
    """Write a network's numbers as safetensors; OSError where the folder takes no more."""
    try:
        save_file(state, path, metadata={"format": "pt"})
    except SafetensorError as error:
        # safetensors tells the system's error number in its text only
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


def _known_dtype(name: str) -> torch.dtype:
    if name not in _DTYPES:
        raise WeightsError(f"A bundle stores float32 or float16, not {name!r}.")
    return _DTYPES[name]
