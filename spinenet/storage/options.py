"""Opens filesystems with defaults of this package, which the user's options override.

Credentials and endpoints are never set here: fsspec takes them from its configuration files and FSSPEC_*
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
"""Connections to one store at a time; further requests wait."""


def open_filesystem(url: str, storage_options: Mapping[str, Any] | None = None) -> tuple[Any, str]:
    """Open the filesystem of ``url``: (filesystem, path in it).

    Parameters
    ----------
    url
        Local path or URL.
    storage_options
        Options for fsspec, which override the defaults.

    Raises
    ------
    ImportError, ValueError
        The protocol's package is not installed; the protocol is unknown or lacks options.
    """
    options = dict(storage_options or {})
    protocol = get_protocol(url)
    if protocol in _S3:
        configured = [fsspec.config.conf.get(name, {}).get("config_kwargs") for name in _S3]
        users_configs = [*configured, options.get("config_kwargs")]
        if all(isinstance(part, Mapping) for part in users_configs if part is not None):
            config = _s3_defaults()
            for part in users_configs:
                config |= part or {}
            options["config_kwargs"] = config
        # with more, s3fs asks for a file's size first, to fetch a large one in concurrent parts: two requests
        options.setdefault("max_concurrency", 1)
    if protocol in (*_S3, *_AZURE):
        # other processes write to the same folder, so a cached listing may be outdated
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
    # some S3-compatible stores refuse the newer checksums; every file's SHA-256 is checked anyway
    for name in ("request_checksum_calculation", "response_checksum_validation"):
        if f"AWS_{name.upper()}" not in os.environ:
            defaults[name] = "when_required"
    return defaults
