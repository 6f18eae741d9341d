"""Maps the body part of a header to a DICOM defined term; other text of its tags is never passed on."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files

from spinenet.readers.dicom.tags import Tags, items_of, text_of

_KINDS = ("spine", "vague", "unnamed", "other")
"""Tables of terms, in the order in which their spellings are looked for."""

_DECIDING = ("other", "spine", "vague", "unnamed")
"""The same tables, in the order in which their terms win where several tags name parts."""

_REGIONS = 16
"""Most items of AnatomicRegionSequence that are read; the standard allows one."""

_WITHIN = 4
"""Fewest letters of a spelling that is looked for within a longer word."""


def stated_body_part(tags: Tags) -> str:
    """The defined term of a header's body part; empty if it has none that is recognised.

    Parameters
    ----------
    tags
        Header with BodyPartExamined (0018,0015) and AnatomicRegionSequence (0008,2218). Where they name
        different parts, one that is not the spine wins, as either may be left over from another scan.
    """
    named = {known_body_part(text_of(tags, "BodyPartExamined")), _most_spinal(_regions(tags))} - {""}
    kinds = _kinds()
    return min(named, key=lambda term: _DECIDING.index(kinds[term]), default="")


def _regions(tags: Tags) -> Iterator[str]:
    """The defined terms of the coded regions of a header."""
    for item in items_of(tags, "AnatomicRegionSequence", _REGIONS):
        code = text_of(item, "CodeValue").strip().upper()
        yield _codes().get(code) or known_body_part(text_of(item, "CodeMeaning"))


def _most_spinal(terms: Iterator[str]) -> str:
    """The term that wins where one tag names several: the one that a text with all of them would give."""
    order = list(_kinds())
    return min(set(terms) - {""}, key=order.index, default="")


@lru_cache(maxsize=1024)
def known_body_part(text: str) -> str:
    """The defined term for a text, such as "LSPINE" for "L-Spine"; empty if it is not recognised.

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
    match = next((term for spelling, term in spellings.items() if spelling in words), None)
    if match is None:
        long = ((spelling, term) for spelling, term in spellings.items() if len(spelling) >= _WITHIN)
        match = next((term for spelling, term in long if any(spelling in word for word in words)), "")
    return match


def _folded(text: str) -> str:
    """The text in upper case without accents, with spaces for other characters."""
    plain = unicodedata.normalize("NFKD", text.upper().replace("ß", "SS"))
    letters = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return re.sub(r"[^A-Z]+", " ", letters)


@lru_cache(maxsize=1)
def _table() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads((files("spinenet") / "data" / "body_parts.toml").read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def _spellings() -> dict[str, str]:
    """Terms by spelling, those of the spine first."""
    return {
        spelling: term
        for kind in _KINDS
        for term, others in _table()[kind].items()
        for spelling in (term, *others)
    }


@lru_cache(maxsize=1)
def _kinds() -> dict[str, str]:
    """Names of tables by term, terms of the spine first."""
    return {term: kind for kind in _KINDS for term in _table()[kind]}


@lru_cache(maxsize=1)
def _codes() -> dict[str, str]:
    """Terms by code."""
    return {code: term for term, codes in _table()["codes"].items() for code in codes}
