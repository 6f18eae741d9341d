"""Storage for the tests of the cohort layer."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from spinenet.storage import Store


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store: a folder, and an object store in memory."""
    if request.param == "local":
        yield Store.at(str(tmp_path / "out"))
        return
    url = f"memory://{uuid.uuid4().hex}"
    yield Store.at(url)
    memory = fsspec.filesystem("memory")
    if memory.exists(url):
        memory.rm(url, recursive=True)
