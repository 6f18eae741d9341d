"""Outlines go from T1 to T2 of the same subject and place, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spinenet.training.labels.labelled import LabelledScan
from spinenet.training.labels.pairs import Outlines, agree, carried, chosen
from spinenet.types import Vertebra

LEVELS = ("L1", "L2", "L3", "L4", "L5", "S1")


def column(levels: tuple[str, ...] = LEVELS, *, top: float = 30.0, size: float = 40.0) -> Outlines:
    body = np.array([[160.0, 0.0], [160.0, size], [100.0, size], [100.0, 0.0]])
    quads = [body + np.array([0, top + 1.25 * size * k]) for k in range(len(levels))]
    return tuple(
        Vertebra((0,), quad[None], level, np.full(24, 0.9)) for quad, level in zip(quads, levels, strict=True)
    )


def mid(
    name: str, sequence: str, *, shape: tuple[int, int] = (400, 300), spacing: float = 0.7
) -> LabelledScan:
    return LabelledScan(
        volume=np.zeros((*shape, 1), np.float32),
        spacing_mm=spacing,
        slice_spacing=4.0,
        vertebrae=(),
        open_above=True,
        open_below=True,
        subject="a",
        source="here",
        name=name,
        sequence=sequence,
    )


T1, T2 = mid("t1", "T1"), mid("t2", "T2")
SHIFTED = column(("T12", *LEVELS[:-1]))


def test_pixels_of_another_size_show_the_same_millimetres() -> None:
    finer = mid("t2", "T2", shape=(800, 600), spacing=0.35)
    moved = carried(column(), T1, finer)
    assert moved is not None
    assert [v.level for v in moved] == list(LEVELS)
    for before, after in zip(column(), moved, strict=True):
        assert np.allclose((after.mean_quad + 0.5) * 0.35, (before.mean_quad + 0.5) * 0.7)


def test_another_field_of_view_is_another_place() -> None:
    assert carried(column(), T1, mid("t2", "T2", shape=(404, 300))) is None


@pytest.mark.parametrize(
    ("own", "fits"),
    [
        (column(), True),
        (column(LEVELS[2:], top=130.0), True),
        (SHIFTED, False),
        (column(("T12", *LEVELS), top=-20.0), True),
        (column(LEVELS, top=80.0), False),
        ((), True),
    ],
)
def test_what_agrees(own: Outlines, fits: bool) -> None:
    assert agree(own, column()) is fits


def test_t2_takes_the_outlines_of_t1_where_its_own_are_not_plausible_or_say_otherwise() -> None:
    for own in ((), column(LEVELS[:-1]), SHIFTED, column(LEVELS, top=80.0)):
        taken = chosen({"t1": (T1, column()), "t2": (T2, own)})
        assert [v.level for v in taken["t2"]] == list(LEVELS)
        assert all(np.allclose(a.quads, b.quads) for a, b in zip(taken["t2"], column(), strict=True))


def test_t2_keeps_its_own_where_they_agree_or_no_t1_can_say() -> None:
    own = tuple(replace(v, quads=v.quads + 1.0) for v in column())
    others = {
        "nothing plausible": {"t1": (T1, column(LEVELS[:-1]))},
        "another place": {"t1": (mid("t1", "T1", shape=(300, 300)), column())},
        "another subject": {"t1": (replace(T1, subject="b"), SHIFTED)},
        "agrees": {"t1": (T1, column())},
        "alone": {},
    }
    for found in others.values():
        taken = chosen({**found, "t2": (T2, own)})
        assert all(np.allclose(a.quads, b.quads) for a, b in zip(taken["t2"], own, strict=True))


def test_t1_takes_nothing_of_t2_and_what_is_not_plausible_is_not_taken() -> None:
    found = {"t1": (T1, column(LEVELS[:-1])), "t2": (T2, column())}
    assert set(chosen(found)) == {"t2"}
    assert chosen({"t2": (T2, column(LEVELS[:-1]))}) == {}
