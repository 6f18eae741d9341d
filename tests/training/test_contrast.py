"""Other looks and poses of an image: what may change, and what may not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spinenet.training.contrast import looking, sample_look, sample_pose, volume_looking


def edges(image: np.ndarray) -> np.ndarray:
    down, across = np.gradient(image)
    return np.asarray(np.hypot(down, across))


@pytest.fixture
def picture() -> np.ndarray:
    """A bright square in grey tissue, with air on the right."""
    image = np.full((96, 80), 200, np.float32)
    image[:, 70:] = 0
    image[30:60, 20:50] = 400
    return image


def test_a_look_moves_nothing(picture: np.ndarray) -> None:
    there = np.zeros(picture.shape)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        seen = looking(picture, sample_look(rng), rng)
        assert seen.shape == picture.shape
        assert seen.dtype == np.float32
        assert np.isfinite(seen).all()
        assert seen.min() >= 0
        there += edges(seen) / max(float(edges(seen).max()), 1e-9)
    rim = np.zeros(picture.shape, bool)
    rim[29:61, 19:51] = True
    rim[32:58, 22:48] = False
    there = there[:, :66]
    rim = rim[:, :66]
    assert there[rim].mean() > 3 * there[~rim].mean()


def test_looks_differ_and_turn_contrast_round(picture: np.ndarray) -> None:
    brighter = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        seen = looking(picture, sample_look(rng), rng)
        brighter.append(bool(np.median(seen[35:55, 25:45]) > np.median(seen[5:25, 5:65])))
    assert 5 < sum(brighter) < 58


def test_all_slices_of_a_volume_have_the_same_look_and_noise_of_their_own(picture: np.ndarray) -> None:
    volume = np.stack([picture, picture], axis=2)
    without = replace(sample_look(np.random.default_rng(3)), noise=0.0)
    seen = volume_looking(volume, without, np.random.default_rng(4))
    assert np.array_equal(seen[:, :, 0], looking(picture, without, np.random.default_rng(5)))
    assert np.array_equal(seen[:, :, 0], seen[:, :, 1])
    noisy = volume_looking(volume, replace(without, noise=0.05), np.random.default_rng(4))
    assert noisy.shape == volume.shape
    assert not np.array_equal(noisy[:, :, 0], noisy[:, :, 1])


def test_a_flat_image_stays_finite() -> None:
    rng = np.random.default_rng(1)
    assert np.isfinite(looking(np.zeros((40, 40), np.float32), sample_look(rng), rng)).all()


def test_a_pose_is_never_a_mirror_image_and_keeps_the_middle_in_view() -> None:
    for seed in range(100):
        pose = sample_pose(np.random.default_rng(seed), (96, 80))
        assert np.linalg.det(pose[:, :2]) > 0.5
        middle = pose @ [40, 48, 1]
        assert np.abs(middle - [40, 48]).max() < 10
