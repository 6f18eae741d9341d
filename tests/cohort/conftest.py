"""Storage for the tests of the cohort layer."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from spinenet.storage import Store
from support.object_stores import ObjectStore

STORES = [
    "local",
    "memory",
    pytest.param("s3", marks=pytest.mark.s3),
    pytest.param("azure", marks=pytest.mark.azure),
]


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store: a folder, an object store in memory, and real ones where they are asked for."""
    if request.param == "local":
        yield Store.at(str(tmp_path / "out"))
    elif request.param == "memory":
        url = f"memory://{uuid.uuid4().hex}"
        yield Store.at(url)
        memory = fsspec.filesystem("memory")
        if memory.exists(url):
            memory.rm(url, recursive=True)
    else:
        server: ObjectStore = request.getfixturevalue(request.param)
        with server.folder() as url:
            yield Store.at(url, server.options())
