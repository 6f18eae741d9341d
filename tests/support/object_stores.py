"""Real object stores for tests: an S3 server and an Azure Blob server on loopback, and empty folders on them.

An S3 server is the one that AWS_ENDPOINT_URL names, or else is started by the script that SPINENET_CEPH
names, which takes ``up DIR`` and ``down DIR`` and prints, as ``export NAME=VALUE ...``, what clients need.
An Azure Blob server is Azurite's azurite-blob, from SPINENET_AZURITE or the PATH.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pytest

from flows.prefect_server.server import free_port

AZURITE_ACCOUNT = "devstoreaccount1"
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Azurite's own, the same for everybody."""


@dataclass(frozen=True)
class ObjectStore:
    """A server, and what clients need to use it.

    Attributes
    ----------
    protocol
        "s3" or "az".
    address
        host:port, as for the proxy that makes trouble.
    environment
        Variables for clients in other processes.
    """

    protocol: str
    address: str
    environment: Mapping[str, str]

    def options(self, endpoint: str | None = None) -> dict[str, Any]:
        """Storage options for clients of this process, through a proxy at ``endpoint`` if given."""
        endpoint = endpoint or f"http://{self.address}"
        if self.protocol == "az":
            return {"connection_string": azure_connection(endpoint)}
        return {
            "endpoint_url": endpoint,
            "key": self.environment["AWS_ACCESS_KEY_ID"],
            "secret": self.environment["AWS_SECRET_ACCESS_KEY"],
        }

    def at(self, endpoint: str) -> dict[str, str]:
        """Variables for clients in other processes that go through a proxy."""
        if self.protocol == "az":
            return {"AZURE_STORAGE_CONNECTION_STRING": azure_connection(endpoint)}
        return {**self.environment, "AWS_ENDPOINT_URL": endpoint}

    @contextmanager
    def folder(self) -> Iterator[str]:
        """URL of an empty folder in a new bucket, which is deleted at the end."""
        fs = fsspec.filesystem(self.protocol, **self.options())
        bucket = f"test-{uuid.uuid4().hex}"
        fs.mkdir(bucket)
        try:
            yield f"{self.protocol}://{bucket}/out"
        finally:
            fs.invalidate_cache()
            fs.rm(bucket, recursive=True)


def azure_connection(endpoint: str) -> str:
    """A connection string for Azurite at ``endpoint``."""
    return (
        f"DefaultEndpointsProtocol=http;AccountName={AZURITE_ACCOUNT};AccountKey={AZURITE_KEY};"
        f"BlobEndpoint={endpoint}/{AZURITE_ACCOUNT};"
    )


@contextmanager
def s3_server(folder: Path) -> Iterator[ObjectStore]:
    """An S3 server; skips where there is none."""
    pytest.importorskip("s3fs", reason="the extra s3 is not installed")
    if "AWS_ENDPOINT_URL" in os.environ:
        known = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        yield ObjectStore("s3", _address(known["AWS_ENDPOINT_URL"]), known)
        return
    script = os.environ.get("SPINENET_CEPH")
    if not script:
        pytest.skip("no S3 server: SPINENET_CEPH names no script that starts one, nor AWS_ENDPOINT_URL any")
    try:
        started = subprocess.run([script, "up", str(folder)], capture_output=True, text=True, timeout=500)
        assert started.returncode == 0, f"{script} up failed: {started.stderr[-2000:]}"
        line = next(line for line in started.stdout.splitlines() if line.startswith("export "))
        words = (word.partition("=") for word in shlex.split(line)[1:])
        environment = {name: value for name, _, value in words}
        yield ObjectStore("s3", _address(environment["AWS_ENDPOINT_URL"]), environment)
    finally:
        subprocess.run([script, "down", str(folder)], check=True, timeout=60)


@contextmanager
def azure_server(folder: Path) -> Iterator[ObjectStore]:
    """An Azure Blob server; skips where there is none."""
    pytest.importorskip("adlfs", reason="the extra azure is not installed")
    program = os.environ.get("SPINENET_AZURITE") or shutil.which("azurite-blob")
    if not program:
        pytest.skip("no Azure Blob server: azurite-blob is neither SPINENET_AZURITE nor on the PATH")
    port = free_port()
    options = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder)]
    with subprocess.Popen(
        [program, *options, "--silent", "--skipApiVersionCheck", "--disableTelemetry"],
        stdout=subprocess.DEVNULL,
    ) as server:
        try:
            _wait_for(port)
            endpoint = f"http://127.0.0.1:{port}"
            environment = {"AZURE_STORAGE_CONNECTION_STRING": azure_connection(endpoint)}
            yield ObjectStore("az", f"127.0.0.1:{port}", environment)
        finally:
            server.terminate()


def _address(endpoint: str) -> str:
    return endpoint.removeprefix("http://").rstrip("/")


def _wait_for(port: int) -> None:
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise AssertionError("the server did not start")
