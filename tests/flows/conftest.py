"""One manifest of 30 scans, ten of them broken, and one undisturbed run of it, for all tests of flows."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
from filelock import FileLock

from support.cohorts import SHARD_SIZE, Undisturbed, spinenet, write_manifest
from support.prefect_home import home


@pytest.fixture(scope="session", autouse=True)
def prefect_home() -> Path:
    """Where runs of this process leave their history."""
    return home(Path(os.environ["PREFECT_HOME"]))


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """Made by the first process of the tests that asks, while others wait; no test changes it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "undisturbed"
    made = folder / "made.pickle"
    with FileLock(folder.with_suffix(".lock")):
        if not made.exists():
            manifest, out = write_manifest(folder, good=20), folder / "out"
            process = spinenet(
                "run", manifest, out, "--weights", "synthetic", "--shard-size", str(SHARD_SIZE)
            )
            made.write_bytes(pickle.dumps(Undisturbed(manifest, out, process)))
        told: Undisturbed = pickle.loads(made.read_bytes())
    return told
