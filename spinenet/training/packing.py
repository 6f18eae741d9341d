"""A bundle of the networks of a training's folder, with its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from spinenet.errors import TrainingError
from spinenet.networks.parts import load_state
from spinenet.storage.disk import write_whole
from spinenet.training.averaging import Average, averaged
from spinenet.training.card import card, sentences
from spinenet.training.checkpoints import checkpoint_file, load_checkpoint
from spinenet.weights import resolve
from spinenet.weights.bundle import Bundle
from spinenet.weights.description import PARTS
from spinenet.weights.domain import Domain
from spinenet.weights.networks import Networks, load_networks, save_bundle

CARD_FILE = "card.md"
"""Name of the card in a bundle's folder."""


def pack(
    folder: Path,
    bundle: Path,
    *,
    name: str,
    rest: str | None = None,
    averages: Mapping[str, Average] | None = None,
    figures: Mapping[str, Any] | None = None,
    domain: Domain | None = None,
) -> Bundle:
    """Make a bundle of the checkpoints of a folder.

    Parameters
    ----------
    folder
        Of one or more trainings.
    bundle
        Folder of the bundle; one that is there is replaced.
    name
        What the bundle calls itself.
    rest
        Bundle, by name, folder or URL, that networks are taken of which have no checkpoint.
    averages
        With what trained networks are averaged, by network.
    figures
        Its scores, if they are known.
    domain
        What it is for, if that is known. Another bundle's is not taken over: these networks are others.

    Raises
    ------
    TrainingError
        A network has neither a checkpoint nor a bundle that it could be taken of, or one is to be averaged
        that was not trained.
    WeightsError
        Another bundle cannot be used.
    """
    trained = {
        part: load_checkpoint(checkpoint_file(folder, part))
        for part in PARTS
        if checkpoint_file(folder, part).exists()
    }
    absent = [part for part in PARTS if part not in trained]
    if not trained or (absent and rest is None):
        raise TrainingError(
            f"{folder} has no checkpoint of {', '.join(absent)}: train them too, or name with --rest the"
            " bundle that they are taken of."
        )
    averages = averages or {}
    for part in averages.keys() - trained.keys():
        raise TrainingError(f"{folder} has no checkpoint of {part} to be averaged.")
    other = resolve(rest) if rest is not None and absent else None
    modules: dict[str, nn.Module] = {}
    architecture: dict[str, Mapping[str, Any]] = {}
    words = [(checkpoint.recipe.data, checkpoint.recipe.licence) for checkpoint in trained.values()]
    for part, checkpoint in trained.items():
        architecture[part] = checkpoint.recipe.architecture
        state: Mapping[str, Any] = checkpoint.network
        if part in averages:
            state, mixed_in = averaged(checkpoint, averages[part])
            words.append(_words(mixed_in))
        modules[part] = load_state(part, architecture, state, str(checkpoint_file(folder, part)))
    if other is not None:
        networks = load_networks(other)
        for part in absent:
            modules[part] = getattr(networks, part)
            architecture[part] = other.description["architecture"][part]
        words.append(_words(other))
    taken = f"; {', '.join(absent)} of the bundle {other.name}" if other is not None else ""
    made = save_bundle(
        bundle,
        Networks.of(modules),
        name=name,
        architecture=architecture,
        licence=sentences(licence for _, licence in words),
        origin=f"Trained by spinenet train{taken}",
        training_data=sentences(data for data, _ in words),
        figures=figures or {},
        domain=domain,
    )
    told = [] if other is None else _sections(other.folder / CARD_FILE, absent)
    write_whole(bundle / CARD_FILE, card(name, list(trained.values()), figures, averages, told).encode())
    return made


def _words(bundle: Bundle) -> tuple[str, str]:
    """What a bundle says of its training data and of its terms."""
    return bundle.description.get("training_data", ""), bundle.description.get("licence", "")


def _sections(file: Path, parts: Sequence[str]) -> list[str]:
    """What another bundle's card, if it has one, says of some of its networks."""
    if not file.exists():
        return []
    sections = file.read_text(encoding="utf-8").split("\n## ")[1:]
    return [f"## {section.strip()}" for section in sections if section.partition("\n")[0] in parts]
