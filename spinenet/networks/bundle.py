"""A weights bundle: a folder with four safetensors files and the ``bundle.json`` that describes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from spinenet.errors import WeightsError
from spinenet.networks.parts import PARTS, Architecture, build, check_state, load_state

FORMAT_VERSION = 1
DESCRIPTION_FILE = "bundle.json"
_DTYPES: Mapping[str, torch.dtype] = {"float32": torch.float32, "float16": torch.float16}


@dataclass(frozen=True, eq=False)
class Networks:
    """The four networks of one bundle, in evaluation mode.

    Attributes
    ----------
    detector, appearance, context, grading
        Modules with the published input and output shapes.
    name
        Name of the bundle.
    digests
        File name to SHA-256 (hex) of each weights file; empty for networks that came from no file.
    """

    detector: nn.Module
    appearance: nn.Module
    context: nn.Module
    grading: nn.Module
    name: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """One SHA-256 (hex) over the digests; equal for equal weights."""
        listing = "".join(f"{name}:{digest}\n" for name, digest in sorted(self.digests.items()))
        return hashlib.sha256(listing.encode()).hexdigest()


def save_bundle(
    folder: Path,
    networks: Networks,
    *,
    architecture: Architecture,
    licence: str,
    origin: str,
    training_data: str,
    figures: Mapping[str, Any],
    dtype: str = "float32",
) -> dict[str, str]:
    """Write the four networks as a bundle; an older bundle in the folder is replaced at the end.

    Parameters
    ----------
    folder
        Made where it does not exist.
    networks
        Modules whose parameters fit ``architecture``; ``networks.name`` becomes the bundle's name.
    architecture
        For each of :data:`PARTS` the keyword arguments of its class, such as ``{"width": 8}``.
    licence, origin, training_data
        Sentences for the reader of ``bundle.json``.
    figures
        Measured quality, JSON values.
    dtype
        "float32" or "float16" of the stored numbers; they are read back as float32.

    Returns
    -------
    dict
        File name to SHA-256 of the four files.

    Raises
    ------
    WeightsError
        If a network does not fit ``architecture``, or a number is too large for float16.
    """
    states = {
        part: _storable(part, getattr(networks, part), architecture, _known_dtype(dtype)) for part in PARTS
    }
    folder.mkdir(parents=True, exist_ok=True)
    pending: dict[Path, Path] = {}
    digests: dict[str, str] = {}
    try:
        for part, state in states.items():
            final = folder / file_name(part)
            temporary = pending[final] = final.with_name(f".{final.name}.part")
            save_file(state, temporary, metadata={"format": "pt"})
            digests[final.name] = sha256_of(temporary)
        description = {
            "format": "spinenet-bundle",
            "format_version": FORMAT_VERSION,
            "name": networks.name,
            "architecture": {part: dict(architecture[part]) for part in PARTS},
            "dtype": dtype,
            "files": digests,
            "licence": licence,
            "origin": origin,
            "training_data": training_data,
            "figures": dict(figures),
        }
        final = folder / DESCRIPTION_FILE
        pending[final] = final.with_name(f".{final.name}.part")
        pending[final].write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
        for final, temporary in pending.items():
            temporary.replace(final)
    finally:
        for temporary in pending.values():
            temporary.unlink(missing_ok=True)
    return digests


def load_bundle(folder: Path, device: str | torch.device = "cpu") -> Networks:
    """Read a bundle, verify its digests and build its networks.

    Parameters
    ----------
    folder
        Folder with ``bundle.json``.
    device
        Where the parameters go, as float32.

    Raises
    ------
    WeightsError
        If the bundle is incomplete or altered, or does not fit its own architecture.
    """
    description = read_description(folder)
    digests = verify_files(folder, description)
    modules: dict[str, nn.Module] = {}
    for part in PARTS:
        path = folder / file_name(part)
        try:
            state = load_file(path)
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{path} is not a readable safetensors file: {error}.") from error
        modules[part] = load_state(part, description["architecture"], state, str(path)).to(device)
    return Networks(**modules, name=str(description.get("name", folder.name)), digests=digests)


def read_description(folder: Path) -> dict[str, Any]:
    """``bundle.json`` of a folder, checked for the entries that loading needs.

    Raises
    ------
    WeightsError
        If it is absent, is not JSON, comes from a newer format, or lacks an entry.
    """
    path = folder / DESCRIPTION_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise WeightsError(f"{folder} is no weights bundle: it holds no {DESCRIPTION_FILE}.") from error
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise WeightsError(f"{path} is not UTF-8 text.") from error
    return parse_description(text, str(path))


def parse_description(text: str, where: str) -> dict[str, Any]:
    """The description in the text of a ``bundle.json``; ``where`` names it in errors.

    Raises
    ------
    WeightsError
        If it is not JSON, comes from a newer format, or lacks an entry.
    """
    try:
        description = json.loads(text)
    except ValueError as error:
        raise WeightsError(f"{where} is not valid JSON: {error}.") from error
    if not isinstance(description, dict) or not isinstance(description.get("format_version"), int):
        raise WeightsError(f"{where} does not describe a weights bundle: it has no format_version.")
    if description["format_version"] > FORMAT_VERSION:
        raise WeightsError(
            f"{where} has format version {description['format_version']}, newer than"
            f" {FORMAT_VERSION}, the newest that this spinenet reads; update spinenet."
        )
    for entry, wanted in (("architecture", PARTS), ("files", tuple(file_name(part) for part in PARTS))):
        found = description.get(entry)
        missing = [key for key in wanted if not isinstance(found, dict) or key not in found]
        if missing:
            raise WeightsError(f"{where} lacks {', '.join(missing)} under {entry!r}.")
    return description


def verify_files(folder: Path, description: Mapping[str, Any]) -> dict[str, str]:
    """Digests of the four files, each compared with the description.

    Raises
    ------
    WeightsError
        If a file is missing or its digest differs.
    """
    digests: dict[str, str] = {}
    for part in PARTS:
        path = folder / file_name(part)
        if not path.is_file():
            raise WeightsError(f"The bundle {folder} is incomplete: {path.name} is missing.")
        digests[path.name] = sha256_of(path)
        wanted = description["files"][path.name]
        if digests[path.name] != wanted:
            raise WeightsError(
                f"{path} is not the file that {DESCRIPTION_FILE} describes: its SHA-256 is"
                f" {digests[path.name]}, not {wanted}; fetch or import the bundle again."
            )
    return digests


def file_name(part: str) -> str:
    """Name of a part's file inside the bundle."""
    return f"{part}.safetensors"


def sha256_of(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _storable(
    part: str, network: nn.Module, architecture: Architecture, dtype: torch.dtype
) -> dict[str, Tensor]:
    state = network.state_dict()
    check_state(build(part, architecture).state_dict(), state, f"The {part} to save")
    stored = {
        key: tensor.detach().to("cpu", dtype if tensor.is_floating_point() else None, copy=True).contiguous()
        for key, tensor in state.items()
    }
    for key, tensor in stored.items():
        if not bool(torch.isfinite(tensor).all()):
            raise WeightsError(f"The {part} cannot be saved: {key} has numbers that {dtype} cannot hold.")
    return stored


def _known_dtype(name: str) -> torch.dtype:
    if name not in _DTYPES:
        raise WeightsError(f"A bundle stores float32 or float16, not {name!r}.")
    return _DTYPES[name]
