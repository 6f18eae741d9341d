"""A path or URL becomes a filesystem and a path in it, whatever signs a folder's name may hold.

fsspec takes ``::`` in any name for a chain of filesystems. Here a chain is only what begins with a filesystem
that opens another one, such as ``zip://member::s3://bucket/a.zip``.
"""

from __future__ import annotations

import re
from typing import Any

import fsspec
from fsspec.core import url_to_fs

_PROTOCOL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)(://|::)")
_CHAINED = frozenset(
    (
        *("zip", "tar", "libarchive", "dir", "simplecache", "filecache", "blockcache", "cached", "reference"),
        *("asyncwrapper", "generic", "ciso", "gzip", "bz2", "xz"),
    )
)
"""Filesystems that open another one, whose address follows ``::``."""


def is_url(path: str) -> bool:
    """Whether a path begins with a protocol; any other is one of this machine, whatever signs it holds."""
    found = _PROTOCOL.match(path)
    return found is not None and (found.group(2) == "://" or found.group(1) in _CHAINED)


def open_address(path: str, **options: Any) -> tuple[Any, str]:
    """(filesystem, path in it) of a path or URL.

    Parameters
    ----------
    options
        Of the filesystem.

    Raises
    ------
    ImportError, ValueError
        The protocol's package is not installed; the protocol is unknown or lacks options.
    """
    found = _PROTOCOL.match(path)
    if not is_url(path) or found is None:
        fs = fsspec.filesystem("file", **options)
        # a path that begins as a protocol of a local filesystem would lose its beginning
        return fs, str(fs._strip_protocol(f"./{path}" if path.startswith(("file:", "local:")) else path))
    protocol = found.group(1)
    if protocol in _CHAINED or "::" not in path:
        fs, inner = url_to_fs(path, **options)
        return fs, str(inner)
    kind = fsspec.get_filesystem_class(protocol)
    stated = {name: value for name, value in kind._get_kwargs_from_urls(path).items() if name not in options}
    return fsspec.filesystem(protocol, **stated, **options), str(kind._strip_protocol(path))
