"""How a filesystem is opened: the user's options by environment or fsspec's configuration, ours below them.

Credentials and endpoints are never ours: fsspec takes them from its configuration files and FSSPEC_*
variables, the stores' packages from their own (AWS_ACCESS_KEY_ID, AWS_PROFILE, AWS_ENDPOINT_URL,
AZURE_STORAGE_CONNECTION_STRING, GOOGLE_APPLICATION_CREDENTIALS ...).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import fsspec
from fsspec.utils import get_protocol

from spinenet.storage.addresses import open_address

_S3 = ("s3", "s3a")
_AZURE = ("az", "abfs", "abfss")
CONNECTIONS = 32
"""To one store at once; what is read together waits for its turn."""


def open_filesystem(url: str, storage_options: Mapping[str, Any] | None = None) -> tuple[Any, str]:
    """The filesystem of ``url``, and the path in it.

    Raises
    ------
    ImportError, ValueError
        The protocol's package is not installed; the protocol is unknown or lacks options.
    """
    options = dict(storage_options or {})
    protocol = get_protocol(url)
    if protocol in _S3:
        configured = [fsspec.config.conf.get(name, {}).get("config_kwargs") for name in _S3]
        given = [*configured, options.get("config_kwargs")]
        if all(isinstance(part, Mapping) for part in given if part is not None):
            own = _s3_defaults()
            for part in given:
                own |= part or {}
            options["config_kwargs"] = own
        # One GET a file; s3fs would ask for its size before, to fetch a large one in pieces at once.
        options.setdefault("max_concurrency", 1)
    if protocol in (*_S3, *_AZURE):
        # Other flows write to the same folder, so that what was listed once is no longer true.
        options.setdefault("use_listings_cache", False)
    fs, root = open_address(url, **options)
    if protocol in _S3:
        fs.retries = 1
    return fs, str(root)


def _s3_defaults() -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "retries": {"mode": "standard", "total_max_attempts": 1},
        "max_pool_connections": CONNECTIONS,
    }
    # Many an S3 that is not Amazon's refuses the newer checksums; every file's SHA-256 is checked anyway.
    for name in ("request_checksum_calculation", "response_checksum_validation"):
        if f"AWS_{name.upper()}" not in os.environ:
            defaults[name] = "when_required"
    return defaults
