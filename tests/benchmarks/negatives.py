"""What becomes of things that are no spine, and of spines: python tests/benchmarks/negatives.py [options].

Prints, by kind or source, how many scans there were, how many ended as no_vertebrae, how many got the flag
not_a_spine and how many were graded. Run it again whenever the bundled weights change: the limits of
spinenet.stages.plausibility were measured with it.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

from spinenet import weights
from spinenet.geometry import to_square_pixels
from spinenet.inference.pipeline import detect
from spinenet.settings import Settings
from spinenet.stages.plausibility import column, is_spine
from spinenet.synthetic.image import KINDS, SEQUENCES, render
from spinenet.synthetic.negatives.scans import NEGATIVES, render_negative
from spinenet.types import Scan
from spinenet.weights.names import SYNTHETIC
from spinenet.weights.networks import load_networks

Item = tuple[str, str, Callable[[], Scan]]
"""Kind or source, name, and what makes the scan."""

REPEATS, SLICE_MM = 3, 4.0
"""Copies of a single slice, and the distance that is said to be between them."""


def negatives(start: int, number: int) -> Iterator[Item]:
    """Things that are no spine, all kinds in turn."""
    for seed in range(start, start + number):
        kind = NEGATIVES[seed % len(NEGATIVES)]
        yield kind, str(seed), lambda seed=seed, kind=kind: render_negative(seed, kind=kind)  # type: ignore[misc]


def drawn(start: int, number: int) -> Iterator[Item]:
    """Drawn spines, kinds and contrasts in turn, every second one sick."""
    for seed in range(start, start + number):
        kind, sequence = KINDS[seed % len(KINDS)], SEQUENCES[seed // len(KINDS) % len(SEQUENCES)]

        def scan(seed: int = seed, kind: str = kind, sequence: str = sequence) -> Scan:
            return render(seed, kind=kind, sequence=sequence, balance=0.9 * (seed % 2)).scan

        yield f"spine, {kind}", str(seed), scan


def repeated(image: Path, spacing: tuple[float, float]) -> Scan:
    """A single slice as a scan of equal ones."""
    slice_image = np.asarray(cv2.imread(str(image), cv2.IMREAD_GRAYSCALE), np.float32)
    return Scan(np.stack([slice_image] * REPEATS, axis=2), spacing, SLICE_MM)


def listed(folder: Path) -> Iterator[Item]:
    """Slices of real spines: a folder with a ``.csv`` of its name (image, sequence, row_mm, column_mm)."""
    with folder.with_suffix(".csv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            spacing = (float(row["row_mm"]), float(row["column_mm"]))
            image = folder / row["image"]
            yield f"real, {row['sequence']}", row["image"], lambda i=image, s=spacing: repeated(i, s)  # type: ignore[misc]


def main() -> None:
    """Print a table, and the columns of all scans that got the wrong verdict."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--negatives", type=int, default=200)
    parser.add_argument("--spines", type=int, default=100)
    parser.add_argument("--first-seed", type=int, default=1000)
    parser.add_argument("--weights", default=SYNTHETIC)
    parser.add_argument("--slices", type=Path, help="a folder of slices of real spines, beside its .csv")
    args = parser.parse_args()
    torch.set_num_threads(1)
    networks, settings = load_networks(weights.resolve(args.weights), "cpu"), Settings()
    items = [*negatives(args.first_seed, args.negatives), *drawn(args.first_seed, args.spines)]
    items += [] if args.slices is None else list(listed(args.slices))
    counts: Counter[tuple[str, str]] = Counter()
    for source, name, make in items:
        scan = to_square_pixels(make())
        found = detect(scan, networks, settings)
        spine = is_spine(found, scan.pixel_spacing[0], scan.slice_spacing)
        verdict = "graded" if spine else "flagged" if found else "no_vertebrae"
        counts[source, verdict] += 1
        if found and spine == (source in NEGATIVES):
            print(source, name, column(found, scan.pixel_spacing[0], scan.slice_spacing), flush=True)  # noqa: T201
    print(f"{'':24}{'scans':>8}{'no_vertebrae':>14}{'flagged':>9}{'graded':>8}")  # noqa: T201
    for source in dict.fromkeys(source for source, _, _ in items):
        one = [counts[source, verdict] for verdict in ("no_vertebrae", "flagged", "graded")]
        print(f"{source:24}{sum(one):8}{one[0]:14}{one[1]:9}{one[2]:8}")  # noqa: T201


if __name__ == "__main__":
    main()
