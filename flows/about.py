"""Versions and machine with which a run was begun: for whoever wants to repeat it."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from typing import Any

from flows.cores import cores
from spinenet import __version__
from spinenet.gpus import gpu_names

PACKAGES = (
    "torch",
    "numpy",
    "scikit-image",
    "opencv-python-headless",
    "pydicom",
    "pyarrow",
    "dask",
    "prefect",
)
"""Those whose versions ``run.json`` records."""


def about() -> dict[str, Any]:
    """Versions and machine with which a run was begun: for whoever wants to repeat it."""
    return {
        "spinenet": __version__,
        "python": sys.version.split()[0],
        "packages": _versions(),
        "machine": f"{platform.system()} {platform.machine()}",
        "cores": cores(),
        "gpus": gpu_names(),
    }


def _versions() -> dict[str, str | None]:
    """Versions of :data:`PACKAGES`; None for one that is installed under another name."""
    versions: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return versions
