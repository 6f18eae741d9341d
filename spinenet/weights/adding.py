"""Adds a finding to a bundle: the four networks as they are, and one more head with its description."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from spinenet.added_findings import AddedFinding
from spinenet.errors import WeightsError
from spinenet.networks.added import FEATURES_VERSION, AddedHead
from spinenet.storage.disk import Content, sweep, write_together
from spinenet.weights.bundle import Bundle
from spinenet.weights.description import DESCRIPTION_FILE, FORMAT_VERSION, added_file, sha256_of
from spinenet.weights.networks import described, stored, written


def refuse_if_there(bundle: Bundle, finding: AddedFinding) -> None:
    """Raise WeightsError where the bundle adds a finding with one of the same columns already."""
    new = {name for name, _ in finding.columns()}
    for known in bundle.added:
        if new & {name for name, _ in known.columns()}:
            raise WeightsError(
                f"The bundle {bundle.name} has a finding {known.name!r} already; choose another --finding."
            )


def add_finding(
    folder: Path,
    base: Bundle,
    head: AddedHead,
    *,
    name: str,
    about: Mapping[str, Any],
    card: str,
) -> Bundle:
    """Write a bundle of another one's networks, byte by byte, and one more head.

    Parameters
    ----------
    folder
        Of the new bundle; not that of ``base``. One that is there is replaced.
    base
        The bundle that the head was trained on.
    name
        What the new bundle calls itself.
    about
        What is said of the finding beside its coding: figures, labels, training. JSON values.
    card
        The card in Markdown.

    Raises
    ------
    WeightsError
        The bundle has such a finding already, or its folder is the new one's.
    OSError
        The folder cannot be written.
    """
    finding = head.finding
    refuse_if_there(base, finding)
    if folder.resolve() == base.folder.resolve():
        raise WeightsError(f"{folder} is the bundle that is added to; choose another folder for the new one.")
    file = added_file(finding.name)
    digests = dict(base.digests)
    entry = {
        **finding.plain(),
        "features": FEATURES_VERSION,
        "own_trunk": head.trunk is not None,
        **about,
    }
    description = {
        **base.description,
        "format_version": FORMAT_VERSION,
        "name": name,
        "files": digests,
        "origin": f"{base.description.get('origin', '')}; finding {finding.name} by spinenet finetune",
        "added": [*base.description.get("added", ()), entry],
    }
    state = stored(f"head of {finding.name}", head)

    def write_head(path: Path) -> None:
        written(state, path)
        digests[file] = sha256_of(path)

    contents: dict[Path, Content] = {folder / one: base.folder / one for one in base.digests}
    contents[folder / file] = write_head
    contents[folder / "card.md"] = card.encode()
    # last, when the digest of the head is known
    contents[folder / DESCRIPTION_FILE] = partial(described, description)
    sweep([folder])
    write_together(contents)
    return Bundle(folder, description, digests)
