"""Addresses without the passwords, tokens and signatures that they may hold; which these are is data."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from importlib import resources
from urllib.parse import unquote, urlsplit, urlunsplit

HIDDEN = "***"

_SAID = tomllib.loads((resources.files("spinenet") / "data" / "secrets.toml").read_text("utf-8"))
PARAMETERS: frozenset[str] = frozenset(_SAID["parameters"])
ENDINGS: tuple[str, ...] = tuple(_SAID["endings"])
TOKEN_BEFORE_HOST: frozenset[str] = frozenset(_SAID["token_before_host"])
PLACE_BEFORE_AT: frozenset[str] = frozenset(_SAID["place_before_at"])

_SCHEME = r"(?P<scheme>[A-Za-z][\w+.-]*)://"
# What follows the colon is a password unless it is a port; one with a slash in it reaches to the last @.
_PASSWORD = re.compile(_SCHEME + r"(?!\[)[^/\s?#@:]*:(?!\d{0,5}(?:[/?#\s]|$))(?:[^/\s]*|\S*)@")
_USER = re.compile(_SCHEME + r"[^/\s?#@:]+@")
_PARAMETER = re.compile(r"(?P<before>(?:^|[?&;#\s])(?P<name>[^?&;#=\s\"'<>]+)=)(?P<value>[^&;#\s\"'<>]+)")
_ADDRESS = re.compile(_SCHEME + r"[^\s\"'<>]*%[^\s\"'<>]*")
_DECODINGS = 4
"""How often an address may be percent-encoded."""


def redacted(text: str) -> str:
    """``text`` with the secrets of the addresses in it replaced by ``***``."""
    plain = _plainly_redacted(text)
    return _ADDRESS.sub(_without_encoded_secret, plain) if "%" in plain else plain


def bare(url: str) -> str:
    """A URL as :func:`redacted` and without user and query, whatever they hold: where something lies."""
    pieces = urlsplit(redacted(url))
    return urlunsplit((pieces.scheme, pieces.netloc.rpartition("@")[2], pieces.path, "", ""))


def has_secret(address: str) -> bool:
    """Whether a path or URL holds a secret; a path on a disk holds none."""
    return ("://" in address or "::" in address) and redacted(address) != address


def secret_refusal(address: str) -> str:
    """The sentence for the user about an address that :func:`has_secret`."""
    return (
        f"{redacted(address)} holds a password, token or signature, and addresses are written down with what "
        "comes of them; give credentials by environment or by fsspec's configuration"
    )


def _plainly_redacted(text: str) -> str:
    if "@" in text:
        text = _USER.sub(_if(lambda scheme: scheme in TOKEN_BEFORE_HOST), text)
        text = _PASSWORD.sub(_if(lambda scheme: scheme not in PLACE_BEFORE_AT), text)
    return _PARAMETER.sub(_hidden, text) if "=" in text else text


def _if(secret: Callable[[str], bool]) -> Callable[[re.Match[str]], str]:
    def replaced(found: re.Match[str]) -> str:
        protocol = found["scheme"].lower().rpartition("+")[2]
        return f"{found['scheme']}://{HIDDEN}@" if secret(protocol) else found[0]

    return replaced


def _hidden(found: re.Match[str]) -> str:
    name = re.sub(r"[-_.\s]", "", _decoded(found["name"])).lower()
    # Outside an address, as in AccountKey=..., a short name such as code= is an ordinary word.
    secret = name.endswith(ENDINGS) or (name in PARAMETERS and found["before"][0] in "?&;#")
    # The value of another may be an address with parameters of its own.
    return found["before"] + (HIDDEN if secret else _PARAMETER.sub(_hidden, found["value"]))


def _without_encoded_secret(found: re.Match[str]) -> str:
    decoded = _decoded(found[0])
    return f"{found['scheme']}://{HIDDEN}" if _plainly_redacted(decoded) != decoded else found[0]


def _decoded(text: str) -> str:
    for _ in range(_DECODINGS):
        if "%" not in text:
            break
        text = unquote(text)
    return text
