"""The store of bundles: the folder of each name or URL, and which bundles are installed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from spinenet.weights.bundle import Bundle, verified_bundle
from spinenet.weights.description import DESCRIPTION_FILE, is_bundle, read_description
from spinenet.weights.domain import Domain, domain_in
from spinenet.weights.names import NAMES, PACKAGED, PUBLISHED
from spinenet.weights.release import SPINENET_V2

_PACKAGE_DATA = Path(__file__).parent.parent / "data"


@dataclass(frozen=True)
class Installed:
    """A bundle by name: its folder and description, where it is installed.

    Attributes
    ----------
    domain
        What it is for; None where it does not say.
    """

    name: str
    folder: Path | None
    description: Mapping[str, Any]
    domain: Domain | None = None

    @property
    def size_bytes(self) -> int:
        """Size of its files; 0 where it is not installed."""
        return (
            0 if self.folder is None else sum(f.stat().st_size for f in self.folder.iterdir() if f.is_file())
        )


def store() -> Path:
    """Folder of fetched bundles: the environment variable SPINENET_HOME, else the user's cache folder."""
    home = os.environ.get("SPINENET_HOME")
    return Path(home).expanduser() if home else platformdirs.user_cache_path("spinenet")


def folder_of(weights: str | Path) -> Path:
    """Folder of the bundle of a name, folder or URL, whether or not it is installed."""
    text = os.fspath(weights)
    if text in PACKAGED:
        return _PACKAGE_DATA / text
    if text == PUBLISHED:
        return store() / PUBLISHED
    if is_url(text):
        return store() / "urls" / hashlib.sha256(text.rstrip("/").encode()).hexdigest()[:16]
    return Path(text).expanduser()


def is_url(text: str) -> bool:
    """Whether a text is a URL rather than a name or a path."""
    return "://" in text


def verify(folder: Path) -> Bundle:
    """Read a whole bundle: digests, format, and every name and shape of the four networks.

    Raises
    ------
    WeightsError
        Naming what is missing, altered, or does not fit.
    """
    # with torch, which takes seconds to import
    from spinenet.weights.networks import load_networks

    bundle = verified_bundle(folder)
    load_networks(bundle)
    return bundle


def installed() -> list[Installed]:
    """The bundles of the built-in names, installed or not, then those fetched by URL."""
    folders = {name: folder_of(name) for name in NAMES}
    fetched = sorted(path.parent for path in (store() / "urls").glob(f"*/{DESCRIPTION_FILE}"))
    folders.update({str(path): path for path in fetched})
    return [_installed(name, folder) for name, folder in folders.items()]


def _installed(name: str, folder: Path) -> Installed:
    if is_bundle(folder):
        description = read_description(folder)
        return Installed(name, folder, description, domain_in(description, str(folder)))
    if name == PUBLISHED:
        return Installed(name, None, {"licence": SPINENET_V2.terms}, SPINENET_V2.domain)
    return Installed(name, None, {})
