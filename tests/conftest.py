"""Settings of all tests, and the servers that some need."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import settings

from support.object_stores import ObjectStore, azure_server, s3_server
from support.prefect_home import SHARED

# Runs leave their history in Prefect's home: not in that of whoever runs the tests.
_prefect_home = tempfile.TemporaryDirectory(prefix="spinenet-tests-")
os.environ["PREFECT_HOME"] = _prefect_home.name

# The first process makes it; those that it starts inherit its name.
_shared = None if SHARED in os.environ else tempfile.TemporaryDirectory(prefix="spinenet-tests-")
if _shared is not None:
    os.environ[SHARED] = _shared.name

# A shared machine is at times slow; the suite has its own time limit.
settings.register_profile("shared-machine", deadline=None)
settings.load_profile("shared-machine")


LONG = ("tests/test_readme.py", "tests/flows/")
"""What takes minutes, or starts processes that wait for one another."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first: what is begun last and takes minutes leaves all but one process without work."""

    def place(item: pytest.Item) -> int:
        return next((number for number, name in enumerate(LONG) if item.nodeid.startswith(name)), len(LONG))

    items.sort(key=place)


def pytest_unconfigure() -> None:
    """Remove what the tests left in Prefect's home."""
    _prefect_home.cleanup()
    if _shared is not None:
        _shared.cleanup()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A real S3 server."""
    with s3_server(tmp_path_factory.mktemp("ceph")) as server:
        yield server


@pytest.fixture(scope="session")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A real Azure Blob server."""
    with azure_server(tmp_path_factory.mktemp("azurite")) as server:
        yield server


@pytest.fixture(
    params=[pytest.param("s3", marks=pytest.mark.s3), pytest.param("azure", marks=pytest.mark.azure)]
)
def server(request: pytest.FixtureRequest) -> ObjectStore:
    """Each of the object stores."""
    found: ObjectStore = request.getfixturevalue(request.param)
    return found
