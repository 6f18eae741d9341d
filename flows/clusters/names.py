"""Checks the name of a cluster before anything is started."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from spinenet.errors import ClusterNameError

LOCAL = "local"
_PROTOCOL = re.compile(r"(tcp|tls|ucx|ws|wss)://")
_HOST = re.compile(r"[A-Za-z0-9._:%-]+")


def check_cluster_name(name: str) -> None:
    """Raise unless ``name`` is "local" or an address that a Dask scheduler could have.

    Raises
    ------
    ClusterNameError
        It is neither.
    """
    if name == LOCAL:
        return
    if not _PROTOCOL.match(name):
        raise ClusterNameError(
            f"there is no cluster {name!r}; use {LOCAL} or the address of a scheduler, tcp://HOST:PORT"
        )
    fault = _fault(name)
    if fault:
        # the address itself is not quoted: it may hold a password
        raise ClusterNameError(f"the address of the cluster {fault}; write it as tcp://HOST:PORT")


def _fault(address: str) -> str | None:
    """The fault of an address, to follow "the address of the cluster"; None if it has none."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return "has no port between 1 and 65535, or an unfinished bracket"
    if parts.username is not None or parts.password is not None:
        return "holds a user or a password, which Dask does not take"
    if not parts.hostname or not _HOST.fullmatch(parts.hostname):
        return "names no host"
    if not port:
        return "has no port between 1 and 65535"
    if parts.query or parts.fragment or (parts.path.strip("/") and parts.scheme not in ("ws", "wss")):
        return "goes on after the port"
    return None


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach the address."""
    host = urlsplit(address).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
