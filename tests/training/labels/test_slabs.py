"""Thin slices averaged to slabs, with the bodies that they show."""

from __future__ import annotations

import numpy as np
import pytest

from spinenet.readers.space.reformat import to_thick_slices
from spinenet.training.labels.labelled import LabelledScan
from spinenet.training.labels.slabs import in_slabs
from spinenet.types import Scan, Vertebra

QUAD = np.array([[60.0, 20.0], [60.0, 40.0], [30.0, 40.0], [30.0, 20.0]])


def scan(slice_spacing: float) -> LabelledScan:
    slices = tuple(range(3, 11))
    return LabelledScan(
        volume=np.random.default_rng(0).random((50, 70, 18), np.float32),
        spacing_mm=1.0,
        slice_spacing=slice_spacing,
        vertebrae=(
            Vertebra(slices, np.stack([np.add(QUAD, (k, 0)) for k in slices]), "L5"),
            Vertebra((17,), QUAD[None] + 3, "S1"),
        ),
        open_above=True,
        open_below=True,
        subject="a",
        source="drawn",
        # one beside the body, two of the body itself where its other slices show it, or do not
        doubtful={9: (QUAD + 40,), 2: (QUAD,), 12: (QUAD,), 15: (QUAD,)},
    )


def test_slabs_are_those_of_the_reader() -> None:
    thin = scan(1.0)
    thick = in_slabs(thin)
    assert np.array_equal(thick.volume, to_thick_slices(Scan(thin.volume, (1.0, 1.0), 1.0)).volume)
    # slices 1-4, 5-8, 9-12, 13-16
    (body,) = thick.vertebrae
    assert body.slices == (0, 1, 2)
    assert np.allclose(body.quads[:, 0, 0], 60 + np.array([3.5, 6.5, 9.5]))
    assert thick.slice_spacing == pytest.approx(4.0)
    assert {k: outlines[0][0, 0] for k, outlines in thick.doubtful.items()} == {2: 100, 3: 60}


def test_a_body_that_few_slices_of_a_slab_show_is_doubtful() -> None:
    thin = scan(1.4)
    # slices 0-2, 3-5, 6-8, 9-11, 12-14, 15-17
    thick = in_slabs(thin)
    assert thick.volume.shape[2] == 6
    assert thick.vertebrae[0].slices == (1, 2, 3)
    assert {k: len(outlines) for k, outlines in thick.doubtful.items()} == {0: 1, 3: 1, 4: 1, 5: 2}
    assert [v.level for v in thick.vertebrae] == ["L5"]


def test_thick_slices_stay_as_they_are() -> None:
    thin = scan(4.0)
    assert in_slabs(thin) is thin
