"""Splits: a subject stays on its side, whoever else there is."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from spinenet.errors import LabelsError
from spinenet.training.splits import SIDES, side_of, split_by_hash, split_by_lists

SHARES = {"train": 0.7, "develop": 0.1, "test": 0.2}


@dataclass(frozen=True)
class Item:
    subject: str
    number: int = 0


EXPECTED = ["train", "test", "train", "train", "test", "train", "test", "test"]

ITEMS = [Item(f"s{n // 3}", n) for n in range(6000)]


def test_every_item_is_on_one_side_and_subjects_are_not_parted() -> None:
    sides = split_by_hash(ITEMS, seed=1, shares=SHARES)
    assert sum(map(len, sides.values())) == len(ITEMS)
    subjects = {side: {item.subject for item in chosen} for side, chosen in sides.items()}
    assert not subjects["train"] & subjects["test"]
    assert not subjects["develop"] & (subjects["train"] | subjects["test"])
    for side, share in SHARES.items():
        assert len(subjects[side]) / 2000 == pytest.approx(share, abs=0.03)


def test_a_side_depends_on_seed_and_name_alone() -> None:
    alone = split_by_hash(ITEMS[:30], seed=1, shares=SHARES)
    among = split_by_hash(ITEMS, seed=1, shares=SHARES)
    assert all(set(alone[side]) <= set(among[side]) for side in SIDES)
    # the values of another machine and version
    assert [side_of(f"s{n}", seed=3, shares=SHARES) for n in range(8)] == EXPECTED
    assert split_by_hash(ITEMS, seed=2, shares=SHARES)["test"] != among["test"]


def test_sides_without_a_share_are_empty() -> None:
    assert {side_of(f"s{n}", seed=0, shares={"test": 1.0}) for n in range(50)} == {"test"}


@pytest.mark.parametrize(
    ("shares", "why"),
    [
        ({"train": 0.5}, "add up to one"),
        ({"train": 1.5, "test": -0.5}, "add up"),
        ({"all": 1.0}, "'all' is no side"),
    ],
)
def test_shares_that_are_none_are_refused(shares: dict[str, float], why: str) -> None:
    with pytest.raises(LabelsError, match=why):
        side_of("s", seed=0, shares=shares)


def test_lists_say_who_is_where() -> None:
    sides = split_by_lists(ITEMS[:12], {"test": ["s1", "s9"], "develop": ["s3"]}, rest="train")
    assert {side: {item.subject for item in chosen} for side, chosen in sides.items()} == {
        "train": {"s0", "s2"},
        "develop": {"s3"},
        "test": {"s1"},
    }
    assert split_by_lists(ITEMS[:12], {"test": ["s1"]})["train"] == ()
    with pytest.raises(LabelsError, match="'s1' is listed for test and for train"):
        split_by_lists(ITEMS, {"test": ["s1"], "train": ["s1"]})
    with pytest.raises(LabelsError, match="'rest' is no side"):
        split_by_lists(ITEMS, {"rest": ["s1"]})
