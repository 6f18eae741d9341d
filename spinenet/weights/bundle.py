"""A verified weights bundle: its folder, what it says of itself, and the digests of its files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spinenet.added_findings import AddedFinding
from spinenet.errors import WeightsError
from spinenet.weights.description import (
    DESCRIPTION_FILE,
    added_findings,
    file_name,
    read_description,
    sha256_of,
    weights_files,
)
from spinenet.weights.domain import Domain, domain_in


@dataclass(frozen=True, eq=False)
class Bundle:
    """A folder with safetensors files that were found to be those of its ``bundle.json``.

    :func:`verified_bundle` makes one, and so do all that write or fetch one; whoever holds it need not
    read the files again to know what they are.

    Attributes
    ----------
    folder
        Holds ``bundle.json`` and the files of the networks.
    description
        The contents of ``bundle.json``.
    digests
        File name to SHA-256 (hex) of each weights file.
    """

    folder: Path
    description: Mapping[str, Any]
    digests: Mapping[str, str]

    @property
    def name(self) -> str:
        """What the bundle calls itself; its folder's name where it does not."""
        return str(self.description.get("name", self.folder.name))

    @property
    def added(self) -> tuple[AddedFinding, ...]:
        """Findings that it adds to the eleven."""
        return added_findings(self.description, str(self.folder / DESCRIPTION_FILE))

    @property
    def fingerprint(self) -> str:
        """One SHA-256 (hex) over the digests; equal for equal weights."""
        listing = "".join(f"{name}:{digest}\n" for name, digest in sorted(self.digests.items()))
        return hashlib.sha256(listing.encode()).hexdigest()

    @property
    def domain(self) -> Domain | None:
        """What the bundle is for; None where it does not say."""
        return domain_in(self.description, str(self.folder / DESCRIPTION_FILE))

    @property
    def detector_digest(self) -> str:
        """SHA-256 (hex) of the detector's file: detections of one detector are good for equal ones."""
        return self.digests[file_name("detector")]


def verified_bundle(folder: Path) -> Bundle:
    """The bundle in a folder, after each of its files was read and compared with ``bundle.json``.

    Raises
    ------
    WeightsError
        If the description cannot be used, a file is missing, or its digest differs.
    """
    description = read_description(folder)
    digests: dict[str, str] = {}
    for name in weights_files(description, str(folder / DESCRIPTION_FILE)):
        path = folder / name
        if not path.is_file():
            raise WeightsError(f"The bundle {folder} is incomplete: {path.name} is missing.")
        digests[path.name] = sha256_of(path)
        wanted = description["files"][path.name]
        if digests[path.name] != wanted:
            raise WeightsError(
                f"{path} is not the file that {DESCRIPTION_FILE} describes: its SHA-256 is"
                f" {digests[path.name]}, not {wanted}; fetch or import the bundle again."
            )
    return Bundle(folder, description, digests)
