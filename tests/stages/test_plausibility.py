"""Outlines that stand as vertebrae do are a spine, in whatever part of it; others are none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from spinenet.stages.plausibility import column, is_spine
from spinenet.synthetic.image import KINDS, Subject, sample_subject, true_vertebrae
from spinenet.types import Vertebra

SPACING, SLICE = 0.7, 4.0
FEWEST = 3
"""Bodies of a short view."""


def body(x: float, y: float, depth: float = 33.0, height: float = 27.0, lean: float = 0.0) -> Vertebra:
    """A body of four slices; centre, depth and height in mm, lean in degrees."""
    quad = np.array([[depth, -height], [depth, height], [-depth, height], [-depth, -height]]) / 2
    c, s = np.cos(np.radians(lean)), np.sin(np.radians(lean))
    placed = (quad @ np.array([[c, s], [-s, c]]) + (x, y)) / SPACING
    return Vertebra((3, 4, 5, 6), np.repeat(placed[None], 4, axis=0))


def row(n: int, step: float, depth: float, height: float, bend: float = 0.0) -> list[Vertebra]:
    return [body(80, 40 + step * k, depth, height, lean=bend * (k % 2)) for k in range(n)]


def judged(vertebrae: Sequence[Vertebra]) -> bool:
    return is_spine(vertebrae, SPACING, SLICE)


def subject_of(seed: int) -> Subject:
    return sample_subject(
        np.random.default_rng(seed), kind=KINDS[seed % len(KINDS)], balance=0.9 * (seed % 2)
    )


@pytest.mark.parametrize("seed", range(30))
def test_spines_as_drawn_and_short_pieces_of_them(seed: int) -> None:
    """Slips, narrow discs and scoliosis among them."""
    subject = subject_of(seed)
    a = subject.acquisition
    mm = min(a.pixel_spacing)
    scale = np.array(a.pixel_spacing[::-1]) / mm
    seen = [v for v in true_vertebrae(subject) if v.share_in_view > 0.7]
    found = [Vertebra(v.slices, v.quads * scale) for v in seen]
    assert is_spine(found, mm, a.slice_spacing)
    starts = range(len(found) - FEWEST + 1)
    short = [is_spine(found[k : k + FEWEST], mm, a.slice_spacing) for k in starts]
    # three bodies of an upper back can be as small, straight and close as cells of a grid
    assert np.mean(short) > 0.85
    assert column(found, mm, a.slice_spacing).length >= len(found) - 3


@pytest.mark.parametrize(
    ("what", "vertebrae", "spine"),
    [
        ("nothing", [], False),
        ("one body", [body(80, 100)], False),
        ("two lumbar bodies", row(2, 35, 34, 26), True),
        ("two square ones", row(2, 35, 28, 28), False),
        ("two far apart", row(2, 80, 34, 26), False),
        ("five lumbar bodies", row(5, 35, 34, 26), True),
        ("five in a neck", row(5, 18, 16.5, 13, bend=7), True),
        ("a grid", row(5, 17, 16, 15.5), False),
        ("spheres", row(5, 45, 27, 27), False),
        ("cards", row(5, 6, 34, 4), False),
        ("a heap", [body(80 + 60 * (k % 2), 60 + 10 * k) for k in range(5)], False),
        ("a row from front to back", [body(60 + 35 * k, 90) for k in range(5)], False),
        ("bodies of all sizes", [body(80, 60 + 40 * k, 20 * 1.6**k, 18 * 1.4**k) for k in range(4)], False),
    ],
)
def test_what_stands_as_vertebrae_do(what: str, vertebrae: list[Vertebra], spine: bool) -> None:
    assert judged(vertebrae) is spine, what


def test_what_is_broader_than_any_body_is_none() -> None:
    found = row(5, 35, 34, 26)
    broad = [Vertebra(tuple(range(18)), np.repeat(v.quads[:1], 18, axis=0)) for v in found]
    assert judged(found)
    assert not judged(broad)
    assert is_spine(broad, SPACING, 1.0)


def test_what_comes_and_goes_between_slices_is_none() -> None:
    flickering = [Vertebra((1, 5, 9, 10), v.quads) for v in row(5, 35, 34, 26)]
    assert not is_spine(flickering, SPACING, 3.0)


def test_strays_beside_a_spine_leave_it_one() -> None:
    found = row(6, 35, 34, 26)
    strays = [body(150, 50 + 40 * k, 14, 20) for k in range(4)]
    mixed = sorted([*found, *strays], key=lambda v: float(v.mean_quad[:, 1].mean()))
    assert judged(mixed)
    told = column(mixed, SPACING, SLICE)
    assert (told.length, told.share) == (6, 0.6)


def test_place_and_pixels_do_not_matter() -> None:
    found = [body(80 + 4 * k, 40 + 34 * k, 34, 26, lean=6 * k) for k in range(5)]
    moved = [Vertebra(v.slices, v.quads * 2 + (31, -7)) for v in found]
    one, other = column(found, SPACING, SLICE), column(moved, SPACING / 2, SLICE)
    for name, value in vars(one).items():
        assert getattr(other, name) == pytest.approx(value)
    assert one.length == 5
