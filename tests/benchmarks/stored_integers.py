"""What warping integers as they are stored changes: python tests/benchmarks/stored_integers.py [SCANS].

Reads drawn scans twice with the drop-in class, as uint16 and as float32, and prints the largest and the
median difference of vertebra and disc volumes as a share of the range of the real ones, and what became of
levels and grades.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from spinenet import SpineNet
from spinenet.stages.crops import vertebra_volume
from spinenet.synthetic.image import render

Array = npt.NDArray[Any]


def share(real: Array, stored: Array) -> float:
    """Largest difference over the range of the real one."""
    return float(np.abs(real - stored).max() / max(np.ptp(real), 1e-9))


def main(scans: int) -> None:
    """Print a line for each scan, and the sums."""
    reader = SpineNet(device="cpu", verbose=False, weights="synthetic")
    vertebrae: list[float] = []
    discs: list[float] = []
    levels = grades = cells = 0
    for seed in range(scans):
        scan = render(seed).scan
        # twelve bits, with air at zero, as scanners store it
        stored = np.clip(np.round(scan.volume), 0, 4095).astype(np.uint16)
        real = stored.astype(np.float32)
        found = [reader.detect_vb(volume, scan.pixel_spacing) for volume in (real, stored)]
        quads = [vert["average_polygon"] for vert in found[0]]
        vertebrae += [share(vertebra_volume(real, q), vertebra_volume(stored, q)) for q in quads]
        cut = [reader.get_ivds_from_vert_dicts(found[0], volume) for volume in (real, stored)]
        discs += [share(a["volume"], b["volume"]) for a, b in zip(*cut, strict=True)]
        names = [[vert["predicted_label"] for vert in verts] for verts in found]
        levels += names[0] != names[1]
        tables = [reader.grade_ivds(one) for one in cut]
        changed = int((tables[0] != tables[1]).to_numpy().sum())
        grades, cells = grades + changed, cells + tables[0].size
        print(f"scan {seed}: {len(quads)} vertebrae, {len(cut[0])} discs, {changed} grades changed")  # noqa: T201
    for what, values in (("vertebra", vertebrae), ("disc", discs)):
        print(f"{what} volumes: {max(values):.4f} of the range at most, median {np.median(values):.4f}")  # noqa: T201
    print(f"levels changed in {levels} of {scans} scans, grades in {grades} of {cells}")  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4)
