"""The body part that a header states, as one of DICOM's terms: whatever else the tag holds is not told."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from functools import lru_cache
from importlib.resources import files

_WITHIN = 4
"""Letters of the shortest spelling that is looked for within a longer word."""


@lru_cache(maxsize=1024)
def known_body_part(text: str) -> str:
    """The defined term that a text stands for, such as "LSPINE" for "L-Spine"; empty where it is none.

    Parameters
    ----------
    text
        BodyPartExamined (0018,0015), or the meaning of a code of AnatomicRegionSequence (0008,2218).
        The spellings are those of ``spinenet/data/body_parts.toml``.
    """
    words = _folded(text).split()
    whole = "".join(words)
    spellings = _spellings()
    if whole in spellings:
        return spellings[whole]
    # the spellings are in the order of precedence
    found = next((term for spelling, term in spellings.items() if spelling in words), None)
    if found is None:
        long = ((spelling, term) for spelling, term in spellings.items() if len(spelling) >= _WITHIN)
        found = next((term for spelling, term in long if any(spelling in word for word in words)), "")
    return found


def _folded(text: str) -> str:
    """Upper case without accents, signs as spaces."""
    plain = unicodedata.normalize("NFKD", text.upper().replace("ß", "SS"))
    letters = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return re.sub(r"[^A-Z]+", " ", letters)


@lru_cache(maxsize=1)
def _spellings() -> dict[str, str]:
    """Term by spelling, those of spines first."""
    said = tomllib.loads((files("spinenet") / "data" / "body_parts.toml").read_text(encoding="utf-8"))
    return {
        spelling: term
        for part in ("spine", "vague", "other")
        for term, others in said[part].items()
        for spelling in (term, *others)
    }
