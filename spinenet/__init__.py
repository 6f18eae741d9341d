"""Finds, names and grades vertebrae and discs in sagittal spinal MRI."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import spinenet_cohort

if TYPE_CHECKING:
    from spinenet import io
    from spinenet.cohort.results import read_results
    from spinenet.published.spine_net import SpineNet, download_example_scan, download_weights

__version__ = "0.1.0"
__all__ = ["SpineNet", "download_example_scan", "download_weights", "io", "read_results"]

spinenet_cohort.check_alone()

# Looked up on first use: torch and pandas take seconds to import, and many a caller needs neither.
_HOMES = {
    "SpineNet": "spinenet.published.spine_net",
    "download_example_scan": "spinenet.published.spine_net",
    "download_weights": "spinenet.published.spine_net",
    "read_results": "spinenet.cohort.results",
}


def __getattr__(name: str) -> Any:
    if name == "io":
        return import_module("spinenet.io")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'spinenet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
