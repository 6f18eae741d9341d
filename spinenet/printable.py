"""Text from outside (ids, paths, headers, addresses) made safe for a terminal, a log or a page."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from urllib.parse import quote

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories of what moves the cursor, turns the writing round, or cannot be seen or encoded."""
_JOINERS = "\u200c\u200d"
"""Format characters that Persian, Indic scripts and emoji need."""
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+!|~&])")
_IN_LINKS = "/:@%+,;=~-._?&#"
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: object, most: int | None = None) -> str:
    r"""``text`` on one line, with what is not to be seen written as an escape, such as ``\n`` or ``\x1b``.

    Parameters
    ----------
    text
        Whatever came from outside; its ``str`` is taken.
    most
        Characters that are shown; of a longer text the middle is left out.
    """
    whole = str(text)
    if not (whole.isascii() and whole.isprintable()):
        whole = "".join(map(_shown, whole))
    if most is None or len(whole) <= most:
        return whole
    head = most // 2
    return f"{whole[:head]}…{whole[len(whole) - (most - 1 - head) :]}"


def markdown(text: object) -> str:
    """``text`` as :func:`printable` gives it, with the signs of Markdown and HTML escaped."""
    return _MARKDOWN.sub(r"\\\1", printable(text)).replace("\\<", "&lt;").replace("\\&", "&amp;")


def link_target(address: object) -> str:
    """A path or URL as the target of a link in Markdown, percent-encoded where it would end that."""
    return quote(str(address), safe=_IN_LINKS, errors="surrogatepass")


def _shown(character: str) -> str:
    if unicodedata.category(character) not in _UNSEEN or character in _JOINERS:
        return character
    if character in _SHORT:
        return _SHORT[character]
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def counted(counts: Mapping[str, int]) -> str:
    """Counts as people read them, such as "8 done, 1 path_missing"; none that is 0."""
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)
