"""The body part that a header states, as one of DICOM's terms: whatever else its tags hold is not told."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files

from spinenet.readers.dicom.tags import Tags, items_of, text_of

_KINDS = ("spine", "vague", "unnamed", "other")
"""Tables of terms, those whose spellings are looked for first."""

_DECIDING = ("other", "spine", "vague", "unnamed")
"""The same, those first whose terms decide where several tags name parts."""

_REGIONS = 16
"""Items of a sequence of regions that are looked at: the standard allows one."""

_WITHIN = 4
"""Letters of the shortest spelling that is looked for within a longer word."""


def stated_body_part(tags: Tags) -> str:
    """The defined term of the part that a header states; empty where it states none that is known.

    Parameters
    ----------
    tags
        With BodyPartExamined (0018,0015) and AnatomicRegionSequence (0008,2218). Where they name different
        parts, one that is no spine counts: which of the two is left from another scan cannot be told.
    """
    named = {known_body_part(text_of(tags, "BodyPartExamined")), _most_spinal(_regions(tags))} - {""}
    kinds = _kinds()
    return min(named, key=lambda term: _DECIDING.index(kinds[term]), default="")


def _regions(tags: Tags) -> Iterator[str]:
    """The terms of the regions that a header codes."""
    for item in items_of(tags, "AnatomicRegionSequence", _REGIONS):
        code = text_of(item, "CodeValue").strip().upper()
        yield _codes().get(code) or known_body_part(text_of(item, "CodeMeaning"))


def _most_spinal(terms: Iterator[str]) -> str:
    """Of the terms of one tag that which a text with all of them would stand for."""
    order = list(_kinds())
    return min(set(terms) - {""}, key=order.index, default="")


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
def _said() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads((files("spinenet") / "data" / "body_parts.toml").read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def _spellings() -> dict[str, str]:
    """Term by spelling, those of spines first."""
    return {
        spelling: term
        for kind in _KINDS
        for term, others in _said()[kind].items()
        for spelling in (term, *others)
    }


@lru_cache(maxsize=1)
def _kinds() -> dict[str, str]:
    """Table by term, spines first."""
    return {term: kind for kind in _KINDS for term in _said()[kind]}


@lru_cache(maxsize=1)
def _codes() -> dict[str, str]:
    """Term by code."""
    return {code: term for term, codes in _said()["codes"].items() for code in codes}
