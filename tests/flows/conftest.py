"""One manifest of 30 scans, ten of them broken, and one undisturbed run of it, for all tests of flows."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from cohorts import spinenet, write_manifest

SHARD_SIZE = 4


@dataclass(frozen=True)
class Undisturbed:
    """A manifest, the result of running it, and what the command said."""

    manifest: Path
    out: Path
    process: subprocess.CompletedProcess[str]

    @property
    def arguments(self) -> tuple[str | Path, ...]:
        """What follows OUT on the command line."""
        return ("--weights", "synthetic", "--shard-size", str(SHARD_SIZE))


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("cohort")
    manifest, out = write_manifest(folder, good=20), folder / "out"
    process = spinenet("run", manifest, out, "--weights", "synthetic", "--shard-size", str(SHARD_SIZE))
    return Undisturbed(manifest, out, process)
