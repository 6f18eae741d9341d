"""Targets: peaks where the landmarks are, arrows that lead from each corner to its centroid."""

import numpy as np

from spinenet.training.targets import ARROW_RADIUS, detector_target

QUAD = np.array([[120.0, 80.0], [124.0, 104.0], [92.0, 106.0], [90.0, 82.0]])


def test_responses_peak_at_the_landmarks() -> None:
    maps, _ = detector_target([QUAD])
    assert maps.shape == (13, 224, 224)
    for corner, (x, y) in enumerate(QUAD):
        assert np.unravel_index(maps[corner].argmax(), maps[corner].shape) == (y, x)
    x, y = np.round(QUAD.mean(axis=0)).astype(int)
    assert maps[4, y, x] > 0.95


def test_arrows_lead_to_the_centroid() -> None:
    maps, near = detector_target([QUAD, QUAD + np.array([0, 40])])
    for corner, (x, y) in enumerate(QUAD.astype(int)):
        assert near[corner, y, x]
        arrow = maps[[5 + corner, 9 + corner], y, x]
        np.testing.assert_allclose(QUAD[corner] + arrow, QUAD.mean(axis=0), atol=1e-4)
        assert not near[corner, y - int(ARROW_RADIUS) - 3, x]


def test_no_vertebra_no_response() -> None:
    maps, near = detector_target([])
    assert not maps.any()
    assert not near.any()
