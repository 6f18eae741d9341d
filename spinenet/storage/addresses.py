"""Opens the filesystem of a path or URL, whatever characters a folder's name contains.

fsspec reads ``::`` in any name as a chain of filesystems. Here only a URL that begins with a filesystem that
opens another one is a chain, such as ``zip://member::s3://bucket/a.zip``.
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
"""Protocols of filesystems that open another one, whose URL follows ``::``."""


def is_url(path: str) -> bool:
    """Whether a path begins with a protocol; any other path is local, whatever characters it contains."""
    match = _PROTOCOL.match(path)
    return match is not None and (match.group(2) == "://" or match.group(1) in _CHAINED)


def open_address(path: str, **options: Any) -> tuple[Any, str]:
    """Open the filesystem of a path or URL: (filesystem, path in it).

    Parameters
    ----------
    path
        Local path or URL.
    options
        Options of the filesystem.

    Raises
    ------
    ImportError, ValueError
        The protocol's package is not installed; the protocol is unknown or lacks options.
    """
    match = _PROTOCOL.match(path)
    if not is_url(path) or match is None:
        fs = fsspec.filesystem("file", **options)
        # fsspec would cut "file:" or "local:" off the beginning of a folder's name
        return fs, str(fs._strip_protocol(f"./{path}" if path.startswith(("file:", "local:")) else path))
    protocol = match.group(1)
    if protocol in _CHAINED or "::" not in path:
        fs, inner = url_to_fs(path, **options)
        return fs, str(inner)
    kind = fsspec.get_filesystem_class(protocol)
    url_options = {
        name: value for name, value in kind._get_kwargs_from_urls(path).items() if name not in options
    }
    return fsspec.filesystem(protocol, **url_options, **options), str(kind._strip_protocol(path))
