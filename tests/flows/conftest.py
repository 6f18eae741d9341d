"""One manifest of 30 scans, ten of them broken, and one undisturbed run of it, for all tests of flows."""

from __future__ import annotations

import pytest

from support.cohorts import SHARD_SIZE, Undisturbed, spinenet, write_manifest


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("cohort")
    manifest, out = write_manifest(folder, good=20), folder / "out"
    process = spinenet("run", manifest, out, "--weights", "synthetic", "--shard-size", str(SHARD_SIZE))
    return Undisturbed(manifest, out, process)
