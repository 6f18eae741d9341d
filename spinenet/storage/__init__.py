"""Reads and writes folders on any fsspec storage; every file appears whole or not at all."""

from spinenet.storage.output import open_output
from spinenet.storage.retries import Retries
from spinenet.storage.store import Store, digest

__all__ = ["Retries", "Store", "digest", "open_output"]
