"""What a labelled slice knows: nothing beyond the last body that somebody outlined."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spinenet.training.labels.labelled import LabelledScan, LabelledSlice, levels_up_from
from spinenet.types import Vertebra

QUAD = np.array([[60.0, 20.0], [60.0, 40.0], [30.0, 40.0], [30.0, 20.0]])
SLICE = LabelledSlice(
    image=np.zeros((120, 90), np.float32),
    spacing_mm=1.0,
    quads=np.stack([QUAD, np.add(QUAD, (0, 30))]),
    levels=("L4", "L5"),
    open_above=False,
    open_below=False,
    subject="a",
    source="drawn",
)


def test_a_slice_without_open_sides_counts_whole() -> None:
    assert SLICE.counts().all()


def test_beyond_an_open_side_nothing_counts() -> None:
    # a third of a body's height of 20 and one pixel more
    above = replace(SLICE, open_above=True).counts()
    assert not above[:13].any()
    assert above[13:].all()
    below = replace(SLICE, open_below=True).counts()
    assert below[:78].all()
    assert not below[78:].any()


def test_the_limit_is_as_tilted_as_the_body() -> None:
    tilted = SLICE.quads.copy()
    tilted[1] = [[60, 60], [60, 80], [30, 60], [30, 40]]
    counts = replace(SLICE, quads=tilted, open_below=True).counts()
    column = counts.argmin(axis=0)
    assert column[60] - column[30] == pytest.approx(20, abs=1)
    assert all(counts[int(y), int(x)] for x, y in tilted.reshape(-1, 2))


def test_levels_are_named_and_in_order() -> None:
    assert levels_up_from("L5", 6) == ("T12", "L1", "L2", "L3", "L4", "L5")
    with pytest.raises(ValueError, match="no 24 levels from L5 up"):
        levels_up_from("L5", 24)
    with pytest.raises(ValueError, match="not from cranial to caudal: L5, L4"):
        replace(SLICE, levels=("L5", "L4"))
    with pytest.raises(ValueError, match="a level for each"):
        replace(SLICE, levels=("L5",))


def test_whether_a_point_of_a_scan_counts() -> None:
    quads = SLICE.quads
    vertebrae = tuple(
        Vertebra((0,), quad[None], level) for quad, level in zip(quads, SLICE.levels, strict=True)
    )
    outline = np.array([[60.0, 40.0], [80.0, 40.0], [80.0, 60.0], [60.0, 60.0]])
    scan = LabelledScan(
        volume=SLICE.image[:, :, None],
        spacing_mm=1.0,
        slice_spacing=4.0,
        vertebrae=vertebrae,
        open_above=True,
        open_below=False,
        subject="a",
        source="drawn",
        doubtful={0: (outline,)},
    )
    assert scan.counts_at(np.array([45.0, 30.0]))
    assert not scan.counts_at(np.array([45.0, 5.0])), "nobody looked above"
    assert scan.counts_at(np.array([45.0, 110.0]))
    assert not scan.counts_at(np.array([70.0, 50.0])), "a body that is shown in part"
