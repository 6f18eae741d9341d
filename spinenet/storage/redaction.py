"""Addresses without the passwords and signatures that they may hold."""

from __future__ import annotations

import re

_PASSWORD = re.compile(r"([A-Za-z][\w+.-]*://)[^/\s@:]*:[^/\s]*@")
_PARAMETER = re.compile(
    r"([?&;](?:sig|[\w-]*signature|[\w-]*token|[\w-]*password|[\w-]*secret|[\w-]*credential)=)[^&;\s\"']+",
    re.IGNORECASE,
)
_ACCOUNT_KEY = re.compile(r"((?:AccountKey|SharedAccessSignature)=)[^;\s]+", re.IGNORECASE)


def redacted(text: str) -> str:
    """``text`` with user:password of URLs, signatures and tokens replaced by ``***``."""
    text = _PASSWORD.sub(r"\1***@", text)
    return _ACCOUNT_KEY.sub(r"\1***", _PARAMETER.sub(r"\1***", text))
