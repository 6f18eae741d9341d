"""Integer volumes are resized and warped as stored: values round, overshoot ends at the type's limits."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from spinenet.geometry import STORED_TYPES, rotation, warp_crop, warpable
from spinenet.stages.crops import disc_volume, vertebra_volume
from spinenet.stages.windows import cut_patch
from spinenet.types import Vertebra, Window
from support.golden_cases import formula_scan

Array = npt.NDArray[Any]
QUAD = np.array([[150.0, 80.0], [152.0, 108.0], [110.0, 110.0], [108.0, 82.0]])
BELOW = QUAD + np.array([2.0, 40.0])


def edges(kind: Any) -> Array:
    """Stripes from the lowest to the highest value of a type, where a cubic kernel overshoots the most."""
    limits = np.iinfo(kind)
    image = np.full((240, 240, 3), limits.min, kind)
    image[::8] = image[1::8] = image[:, ::12] = limits.max
    return image


@pytest.mark.parametrize("kind", STORED_TYPES)
class TestEachStoredType:
    def test_a_crop_is_opencvs_warp_of_the_stored_slice(self, kind: Any) -> None:
        volume, matrix = edges(kind), rotation((118.3, 121.7), 7.3)
        crop = warp_crop(volume, matrix, (240, 240), (30, 200), (25, 215))
        assert crop.dtype == kind
        for index, image in enumerate(crop):
            whole = cv2.warpAffine(volume[:, :, index].copy(), matrix, (240, 240), flags=cv2.INTER_CUBIC)
            # the shifted matrix differs in its last digits
            difference = np.abs(image.astype(np.int64) - whole[30:200, 25:215])
            assert difference.max() <= max(1, 1e-4 * np.ptp(limits_of(kind)))

    def test_overshoot_is_cut_where_floats_keep_it(self, kind: Any) -> None:
        volume, matrix, limits = edges(kind), rotation((118.3, 121.7), 7.3), np.iinfo(kind)
        ranges = ((240, 240), (30, 200), (25, 215))
        stored = warp_crop(volume, matrix, *ranges)
        real = warp_crop(volume.astype(np.float32), matrix, *ranges)
        assert real.min() < limits.min
        assert real.max() > limits.max
        # OpenCV weighs integers with fixed-point numbers, a few thousandths of the range off
        np.testing.assert_allclose(
            stored,
            np.clip(np.round(real), limits.min, limits.max),
            atol=max(2.0, 3e-3 * np.ptp(limits_of(kind))),
        )

    def test_a_patch_is_resized_as_stored(self, kind: Any) -> None:
        image, window = edges(kind)[:, :, 0], Window(3, 160, 5, 162)
        part = image[3:160, 5:162].copy()
        resized = cv2.resize(part, (224, 224), interpolation=cv2.INTER_CUBIC).astype(np.float64)
        low, high = np.percentile(resized, (0.5, 99.5))
        wanted = (resized - resized.min()) / (high - low + 1e-9)
        np.testing.assert_allclose(cut_patch(image, window), wanted, atol=1e-6)

    def test_byte_order_does_not_matter(self, kind: Any) -> None:
        volume = edges(kind)
        swapped = volume.astype(volume.dtype.newbyteorder(">"))
        assert np.array_equal(vertebra_volume(volume, QUAD), vertebra_volume(swapped, QUAD))


def limits_of(kind: Any) -> Array:
    return np.array([np.iinfo(kind).min, np.iinfo(kind).max], dtype=np.float64)


@pytest.mark.parametrize("kind", [np.int8, np.int32, np.int64, np.uint32, np.float16, np.float64, bool])
def test_what_opencv_does_not_warp_is_taken_as_real_numbers(kind: Any) -> None:
    volume = (formula_scan(240, 240, 3, 0.0) / 20).astype(kind)
    assert warpable(volume).dtype == np.float32
    assert np.array_equal(vertebra_volume(volume, QUAD), vertebra_volume(volume.astype(np.float32), QUAD))


def test_whole_numbers_round_in_the_volumes_and_no_more() -> None:
    """A scan of twelve bits: rounding moves a value by a few thousandths."""
    real = np.round(formula_scan(240, 240, 9, 0.0) * 3)
    stored = real.astype(np.uint16)
    above, below = (
        Vertebra((3, 4, 5), np.stack([quad] * 3), name) for quad, name in ((QUAD, "L4"), (BELOW, "L5"))
    )
    pairs = (
        (vertebra_volume(real, QUAD), vertebra_volume(stored, QUAD)),
        (disc_volume(real, below, above), disc_volume(stored, below, above)),
        (
            cut_patch(real[:, :, 0], Window(0, 200, 0, 200)),
            cut_patch(stored[:, :, 0], Window(0, 200, 0, 200)),
        ),
    )
    for first, second in pairs:
        assert 0 < np.abs(first - second).max() < 2e-3
