"""Volumes without a thing in them: noise, air, blobs, and drawn spines cut to tiles or laid on their side."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from spinenet.synthetic.image import KINDS, SEQUENCES, render

Volume = npt.NDArray[np.float32]


def noise(rng: np.random.Generator, shape: tuple[int, int, int]) -> Volume:
    """(rows, columns, slices) of coil noise, with stripes, spikes or a zipper, smoothed or not."""
    rows, columns, _ = shape
    real, imaginary = rng.standard_normal((2, *shape), dtype=np.float32)
    volume = np.hypot(real, imaginary) * np.float32(rng.uniform(20, 300))
    if rng.random() < 0.5:
        sd = float(rng.uniform(0.5, 6))
        volume = np.stack([cv2.GaussianBlur(v, (0, 0), sd) for v in np.moveaxis(volume, 2, 0)], axis=2) * sd
    r, c = np.mgrid[:rows, :columns].astype(np.float32)
    for _ in range(int(rng.integers(0, 4))):
        wave = np.cos(r * rng.uniform(-0.5, 0.5) + c * rng.uniform(-0.5, 0.5) + rng.uniform(0, 6))
        volume += (wave * np.float32(rng.uniform(10, 250)))[:, :, None]
    if rng.random() < 0.4:
        at = int(rng.integers(columns - 3))
        volume[:, at : at + 3] *= 4
    return np.asarray(np.maximum(volume, 0), np.float32)


def air(rng: np.random.Generator, shape: tuple[int, int, int]) -> Volume:
    """(rows, columns, slices) of nearly nothing: an empty coil, perhaps with a bright edge."""
    volume = np.full(shape, rng.choice([0.0, 1.0, 200.0]), np.float32)
    if rng.random() < 0.6:
        volume += np.abs(rng.standard_normal(shape, dtype=np.float32)) * np.float32(rng.uniform(0.5, 8))
    if rng.random() < 0.5:
        volume[:, : int(rng.integers(2, 40))] += np.float32(rng.uniform(50, 900))
    return volume


def blobs(rng: np.random.Generator, shape: tuple[int, int, int]) -> Volume:
    """(rows, columns, slices) of random fields of several sizes, some cut to islands with sharp edges."""
    rows, columns, slices = shape
    volume = np.zeros(shape, np.float32)
    for size in rng.uniform(4, 70, int(rng.integers(2, 6))):
        grid = (int(rows / size) + 3, int(columns / size) + 3)
        ends = rng.standard_normal((2, *grid), dtype=np.float32)
        first, last = (cv2.resize(e, (columns, rows), interpolation=cv2.INTER_CUBIC) for e in ends)
        t = np.linspace(0, rng.uniform(0.2, 1), slices, dtype=np.float32)
        field = first[:, :, None] * (1 - t) + last[:, :, None] * t
        if rng.random() < 0.6:
            field = np.where(field > rng.uniform(-0.5, 0.8), 1 + 0.15 * field, 0)
        volume += field * np.float32(rng.uniform(60, 500))
    volume += np.float32(200) + rng.standard_normal(shape, dtype=np.float32) * np.float32(rng.uniform(2, 30))
    return np.asarray(np.maximum(volume, 0), np.float32)


def _drawn(rng: np.random.Generator) -> tuple[Volume, float]:
    """A drawn spine's volume, of any kind and contrast, and its spacing in mm."""
    kind, sequence = str(rng.choice(KINDS[:2])), str(rng.choice(SEQUENCES))
    scan = render(int(rng.integers(1 << 31)), kind=kind, sequence=sequence).scan
    return np.asarray(scan.volume, np.float32), min(scan.pixel_spacing)


def tiles(rng: np.random.Generator) -> tuple[Volume, float]:
    """A drawn spine cut into tiles of 20 to 40 mm, shuffled, turned and mirrored; and its spacing in mm."""
    volume, spacing = _drawn(rng)
    edge = int(rng.uniform(20, 40) / spacing)
    rows, columns = volume.shape[0] // edge, volume.shape[1] // edge
    places = [(i * edge, j * edge) for i in range(rows) for j in range(columns)]
    out = np.zeros((rows * edge, columns * edge, volume.shape[2]), np.float32)
    for (r, c), source in zip(places, rng.permutation(len(places)), strict=True):
        r0, c0 = places[int(source)]
        tile = np.rot90(volume[r0 : r0 + edge, c0 : c0 + edge], int(rng.integers(4)))
        out[r : r + edge, c : c + edge] = tile[:, ::-1] if rng.random() < 0.5 else tile
    return out, spacing


def lying(rng: np.random.Generator) -> tuple[Volume, float]:
    """A drawn spine turned by 90 degrees: its bodies lie in a row, not in a column; and its spacing in mm."""
    volume, spacing = _drawn(rng)
    return np.ascontiguousarray(np.rot90(volume, int(rng.choice([1, 3])))), spacing
