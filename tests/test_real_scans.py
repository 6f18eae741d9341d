"""What the bundled weights are worth on real scans, as the README says it: six lumbar T2 scans of SPIDER."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from shapely.geometry import Point, Polygon

from spinenet import weights
from spinenet.inference.pipeline import read_spine
from spinenet.stages.levels import levels_uncertain
from spinenet.types import Scan, SpineReading
from spinenet.weights.names import SYNTHETIC
from spinenet.weights.networks import load_networks

DATA = Path(__file__).parent / "data" / "spider_space"
BODIES: dict[str, dict[str, tuple[int, int]]] = json.loads((DATA / "bodies.json").read_text(encoding="utf-8"))
README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
PIXEL_MM, SLICE_MM = 0.46875, 4.0


def real_scan(patient: str) -> Scan:
    files = sorted(DATA.glob(f"{patient}-*.jpg"), key=lambda file: int(file.stem.split("-")[1]))
    slices = [np.asarray(cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)) for file in files]
    volume = np.stack(slices, axis=-1)
    return Scan(volume.astype(np.float32), (PIXEL_MM, PIXEL_MM), SLICE_MM, np.eye(4), "T2")


@dataclass
class Account:
    scans: int = 0
    doubtful: int = 0
    bodies: int = 0
    found: int = 0
    named: int = 0

    def add(self, reading: SpineReading, bodies: dict[str, tuple[int, int]]) -> None:
        self.scans += 1
        self.doubtful += levels_uncertain(reading.vertebrae)
        self.bodies += len(bodies)
        for level, (row, column) in bodies.items():
            over = [v.level for v in reading.vertebrae if Polygon(v.mean_quad).contains(Point(column, row))]
            self.found += bool(over)
            self.named += level in over

    def __str__(self) -> str:
        return (
            f"{self.found} of {self.bodies} vertebral bodies found, {self.named} named rightly, "
            f"{self.doubtful} of {self.scans} scans flagged `levels_uncertain`"
        )


def test_the_readme_says_what_becomes_of_real_scans(capsys: pytest.CaptureFixture[str]) -> None:
    networks = load_networks(weights.resolve(SYNTHETIC), "cpu")
    account = Account()
    for patient, bodies in BODIES.items():
        account.add(read_spine(real_scan(patient), networks), bodies)
    with capsys.disabled():
        print(f"\n{account.scans} real lumbar T2 scans: {account}")  # noqa: T201
    assert str(account) in " ".join(README.split())
