"""Splits labelled files by whom they show, so that nobody is on two sides."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from hashlib import sha256
from typing import Protocol, TypeVar

from spinenet.errors import LabelsError

SIDES = ("train", "develop", "test")
"""The sides of a split: to learn from, to choose by, and to report."""


class Shown(Protocol):
    """What shows a subject: a labelled file, scan or slice."""

    @property
    def subject(self) -> str:
        """Whom it shows."""


Item = TypeVar("Item", bound=Shown)


def side_of(subject: str, *, seed: int, shares: Mapping[str, float]) -> str:
    """The side of a subject: always the same, whoever else there is.

    Parameters
    ----------
    subject
        Whom it is about.
    seed
        Another seed is another split.
    shares
        Share of each of :data:`SIDES`; those that are not named have none.

    Raises
    ------
    LabelsError
        The shares do not add up to one, or are of other sides.
    """
    unknown = [side for side in shares if side not in SIDES]
    if unknown:
        raise LabelsError(f"{unknown[0]!r} is no side of a split; there are {', '.join(SIDES)}")
    if min(shares.values(), default=0.0) < 0 or abs(sum(shares.values()) - 1) > 1e-6:
        raise LabelsError("the shares of a split do not add up to one")
    digest = sha256(f"{seed}\n{subject}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    bound = 0.0
    for side in SIDES:
        bound += shares.get(side, 0.0)
        if place < bound:
            return side
    # the shares' rounding may leave the last bound a little below one
    return [side for side in SIDES if shares.get(side, 0.0) > 0][-1]


def split_by_hash(
    items: Iterable[Item], *, seed: int, shares: Mapping[str, float]
) -> Mapping[str, tuple[Item, ...]]:
    """Items by side, each subject on the one that a hash of seed and name gives it.

    The shares are of subjects, and hold as well as chance lets them. Errors as :func:`side_of`.
    """
    sides: dict[str, list[Item]] = {side: [] for side in SIDES}
    for item in items:
        sides[side_of(item.subject, seed=seed, shares=shares)].append(item)
    return {side: tuple(chosen) for side, chosen in sides.items()}


def split_by_lists(
    items: Iterable[Item], lists: Mapping[str, Collection[str]], *, rest: str | None = None
) -> Mapping[str, tuple[Item, ...]]:
    """Items by side, from lists of subjects.

    Parameters
    ----------
    items
        What is to be split.
    lists
        Subjects of each of :data:`SIDES`.
    rest
        Side of subjects that no list names; None leaves them out.

    Raises
    ------
    LabelsError
        A subject is on two lists, or a side is unknown.
    """
    unknown = [side for side in (*lists, *([rest] if rest is not None else [])) if side not in SIDES]
    if unknown:
        raise LabelsError(f"{unknown[0]!r} is no side of a split; there are {', '.join(SIDES)}")
    place: dict[str, str] = {}
    for side, subjects in lists.items():
        for subject in subjects:
            if place.setdefault(subject, side) != side:
                raise LabelsError(f"the subject {subject!r} is listed for {place[subject]} and for {side}")
    sides: dict[str, list[Item]] = {side: [] for side in SIDES}
    for item in items:
        side_or_none = place.get(item.subject, rest)
        if side_or_none is not None:
            sides[side_or_none].append(item)
    return {side: tuple(chosen) for side, chosen in sides.items()}
