"""Weights by name, folder or URL: resolves, fetches, imports and verifies them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from spinenet.weights.names import NAMES, OPEN, PUBLISHED, SYNTHETIC

if TYPE_CHECKING:
    from spinenet.weights.bundle import Bundle
    from spinenet.weights.fetching import fetch, fetch_release, terms_of
    from spinenet.weights.published import import_published
    from spinenet.weights.release import PUBLISHED_TERMS
    from spinenet.weights.resolving import resolve
    from spinenet.weights.store import Installed, folder_of, installed, is_url, verify

__all__ = [
    "NAMES",
    "OPEN",
    "PUBLISHED",
    "PUBLISHED_TERMS",
    "SYNTHETIC",
    "Bundle",
    "Installed",
    "fetch",
    "fetch_release",
    "folder_of",
    "import_published",
    "installed",
    "is_url",
    "resolve",
    "terms_of",
    "verify",
]

# Looked up on first use: they import torch, and the command's help needs the names alone.
_HOMES = {
    "Bundle": "bundle",
    "PUBLISHED_TERMS": "release",
    "Installed": "store",
    "fetch": "fetching",
    "fetch_release": "fetching",
    "folder_of": "store",
    "import_published": "published",
    "installed": "store",
    "is_url": "store",
    "resolve": "resolving",
    "terms_of": "fetching",
    "verify": "store",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"spinenet.weights.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'spinenet.weights' has no attribute {name!r}")
