"""Which series may be graded at all: by the folders that they lie in and the body part that they state."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

ELSEWHERE = "elsewhere"
"""The region whose words tell that a series is of no spine."""

OTHER_PART, DERIVED = "other_body_part", "derived"
"""Reasons of a series that is usable and no candidate."""


@dataclass(frozen=True)
class Folders:
    """Names of folders below the root that tell what lies in them, as shell patterns in lower case.

    Attributes
    ----------
    derived
        What was made of images: no candidates.
    source
        What images were made of: candidates where a subject has no other.
    neutral, sites
        Of no subject: those between which subjects are the same, and those between which they are not.
    """

    derived: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    neutral: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()


@dataclass(frozen=True)
class BodyParts:
    """What a stated body part says; any that is in none of these is no spine.

    Attributes
    ----------
    spine, described, unstated
        Terms: of a spine; of a part with a spine in it, which the description has to name; of none.
    words
        Of a description that names a spine.
    """

    spine: frozenset[str]
    described: frozenset[str]
    unstated: frozenset[str]
    words: frozenset[str]


def no_candidate(
    row: Mapping[str, Any], parts: BodyParts | None, folders: Folders, below: str
) -> tuple[str, str] | None:
    """Why a usable series is not to be graded, whatever its sequence.

    Parameters
    ----------
    row
        With its ``region``.
    below
        Its path below the root.

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
    """The first folder on the way to a path, seen from the root, whose name is one of ``patterns``."""
    wanted = tuple(patterns)
    for name in posixpath.dirname(below.strip("/")).split("/"):
        if name and matches(name, wanted):
            return name
    return None


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name is one of the patterns, whatever its case."""
    return any(fnmatchcase(name.lower(), pattern) for pattern in patterns)
