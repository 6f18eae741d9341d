"""A folder on any fsspec storage, where a run can lose nothing."""

from spinenet.storage.output import open_output
from spinenet.storage.retries import Retries
from spinenet.storage.store import Store, digest

__all__ = ["Retries", "Store", "digest", "open_output"]
