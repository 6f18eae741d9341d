"""Slices of a labelled scan: those with bodies and, of a whole one, those beside the column."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spinenet.training.labels.labelled import LabelledScan, open_sides
from spinenet.types import Vertebra

QUAD = np.array([[60.0, 20.0], [60.0, 40.0], [30.0, 40.0], [30.0, 20.0]])


def stacked(level: str, slices: tuple[int, ...], down: float) -> Vertebra:
    return Vertebra(slices, np.stack([np.add(QUAD, (k, down)) for k in slices]), level)


SCAN = LabelledScan(
    volume=np.arange(7, dtype=np.float32) * np.ones((120, 90, 1), np.float32),
    spacing_mm=1.0,
    slice_spacing=2.0,
    vertebrae=(stacked("L4", (2, 3), 0), stacked("L5", (3, 2), 30)),
    open_above=False,
    open_below=True,
    subject="a",
    source="drawn",
)


def test_slices_with_bodies_and_the_quads_of_each() -> None:
    slices = list(SCAN.slices())
    assert [s.image[0, 0] for s in slices] == [2, 3]
    assert all(s.levels == ("L4", "L5") and s.subject == "a" for s in slices)
    assert [s.quads[1, 0].tolist() for s in slices] == [[62, 50], [63, 50]]


def test_a_whole_scan_has_slices_that_show_no_body() -> None:
    slices = list(replace(SCAN, whole=True).slices())
    # slices 1 and 4 are 2 mm from a body's last one, where its rim may be half seen
    assert [(s.image[0, 0], s.levels) for s in slices] == [
        (0, ()),
        (2, ("L4", "L5")),
        (3, ("L4", "L5")),
        (5, ()),
        (6, ()),
    ]
    beside = slices[0]
    assert beside.quads.shape == (0, 4, 2)
    # beyond the lowest body nothing is known here either
    assert beside.counts()[:78].all()
    assert not beside.counts()[78:].any()


def test_a_scan_without_bodies_has_no_slices() -> None:
    assert list(replace(SCAN, vertebrae=(), whole=True).slices()) == []


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="not from cranial to caudal: L5, L4"):
        replace(SCAN, vertebrae=SCAN.vertebrae[::-1])
    with pytest.raises(ValueError, match="no level 'L6'"):
        replace(SCAN, vertebrae=(stacked("L6", (1,), 0),))
    with pytest.raises(ValueError, match="a slice that there is not"):
        replace(SCAN, vertebrae=(stacked("L5", (7,), 0),))


def test_sides_are_open_but_at_the_ends_of_the_column() -> None:
    assert open_sides(("L4", "L5")) == (True, True)
    assert open_sides(("C2", "C3")) == (False, True)
    assert open_sides(("L5", "S1")) == (True, False)
