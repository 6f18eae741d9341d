"""What the bundled weights are worth on real scans, as the README says it: lumbar T2 scans of SPIDER."""

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
from spinenet.weights.names import OPEN, SYNTHETIC
from spinenet.weights.networks import load_networks

DATA = Path(__file__).parent / "data"
README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
PIXEL_MM, SLICE_MM = 0.46875, 4.0


def real_scan(folder: Path, patient: str) -> Scan:
    files = sorted(folder.glob(f"{patient}-*.jpg"), key=lambda file: int(file.stem.split("-")[1]))
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


@pytest.mark.parametrize(("bundle", "scans"), [(SYNTHETIC, "spider_space"), (OPEN, "spider_space_unseen")])
def test_the_readme_says_what_becomes_of_real_scans(
    bundle: str, scans: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bodies = json.loads((DATA / scans / "bodies.json").read_text(encoding="utf-8"))
    networks = load_networks(weights.resolve(bundle), "cpu")
    account = Account()
    for patient, of_patient in bodies.items():
        account.add(read_spine(real_scan(DATA / scans, patient), networks), of_patient)
    with capsys.disabled():
        print(f"\n{bundle}, {account.scans} real lumbar T2 scans: {account}")  # noqa: T201
    assert str(account) in " ".join(README.split())


def test_the_readme_says_how_well_pfirrmann_grades_agree() -> None:
    figures = weights.resolve(OPEN).description["figures"]["real, grades"]["spider_mid"]["pfirrmann"]
    kappa, low, high = figures["kappa"]
    said = (
        f"Pfirrmann grades of {figures['discs']} discs of {figures['subjects']} such people agree with a "
        f"radiologist's with a quadratic kappa of {kappa:.2f} ({low:.2f} to {high:.2f})"
    )
    assert said in " ".join(README.split())
