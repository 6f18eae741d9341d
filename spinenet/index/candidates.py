"""Which series may be graded at all: decided by the folders around them and their BodyPartExamined."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

ELSEWHERE = "elsewhere"
"""Name of the region whose words mean that a series does not show the spine."""

OTHER_PART, DERIVED = "other_body_part", "derived"
"""Reason codes of a usable series that is not a candidate for grading."""


@dataclass(frozen=True)
class Folders:
    """Folder names, as lower-case shell patterns, that say what kind of data lies below them.

    Attributes
    ----------
    derived
        Folders of data derived from images (masks, labels): their series are never candidates.
    source
        Folders of raw data that images were made from: candidates only where a subject has no other.
    neutral
        Folders that name no subject; the same name in two of them is the same person.
    sites
        Folders that name no subject; the same name in two of them is two people.
    """

    derived: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    neutral: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()


@dataclass(frozen=True)
class BodyParts:
    """Terms of BodyPartExamined by their meaning; a term in none of the sets is not the spine.

    Attributes
    ----------
    spine
        Terms for the spine or a part of it.
    described
        Terms for a part of the body that contains spine: the series description must name the spine.
    unstated
        Terms that name no part of the body.
    words
        Words by which a series description names the spine.
    """

    spine: frozenset[str]
    described: frozenset[str]
    unstated: frozenset[str]
    words: frozenset[str]


def no_candidate(
    row: Mapping[str, Any], parts: BodyParts | None, folders: Folders, below: str
) -> tuple[str, str] | None:
    """Why a usable series must not be graded, whatever its sequence.

    Parameters
    ----------
    row
        Row of the series, with its ``region``.
    parts
        Terms of body parts; None admits every body part.
    folders
        Folder names that exclude a series.
    below
        Path of the series relative to the root.

    Returns
    -------
    tuple or None
        (reason, sentence); None for a candidate.
    """
    folder = folder_named(below, folders.derived)
    if folder:
        return DERIVED, "it lies below a folder of derived data, masks or labels (see [folders] of the rules)"
    if parts is None:
        return None
    part = row.get("body_part") or ""
    words = set((row.get("description") or "").split())
    if part in parts.spine:
        return None
    if part in parts.unstated:
        if row.get("region") == ELSEWHERE:
            return OTHER_PART, "its description names another part of the body, and no spine"
        return None
    if part in parts.described:
        if words & parts.words:
            return None
        return OTHER_PART, f"the stated body part is {part}, and the description names no spine"
    return OTHER_PART, f"the stated body part is {part}, which is no spine"


def folder_named(below: str, patterns: Iterable[str]) -> str | None:
    """The topmost folder of a relative path whose name matches one of ``patterns``; None if none does."""
    names = tuple(patterns)
    for name in posixpath.dirname(below.strip("/")).split("/"):
        if name and matches(name, names):
            return name
    return None


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name matches one of the lower-case shell patterns, whatever the name's case."""
    return any(fnmatchcase(name.lower(), pattern) for pattern in patterns)
