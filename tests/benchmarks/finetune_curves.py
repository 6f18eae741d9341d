"""Fine-tuning on two cohorts: python tests/benchmarks/finetune_curves.py wedge|bulging FOLDER [options].

``wedge`` draws lumbar scans of which some vertebrae are fractured, runs them, learns the finding from the
run's vertebrae and says how well it does on subjects that were held out. ``bulging`` takes SPIDER's T2 mid
slices, each repeated to a volume, and learns *disc bulging*, which no bundle has, from 30, 60 and 120
patients. Both go through the commands that a user types, and print the new bundle's figures with the minutes
of each part.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import cv2
import nibabel
import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from spinenet.synthetic.cohort import TRUTH_FOLDER, write_cohort
from spinenet.training.labelled_sources import Split
from spinenet.training.labels.files import LabelledFile
from spinenet.training.labels.spider_slices import subject_of
from spinenet.training.recipe import packaged_recipe

REPEATS, SLICE_MM = 9, 4.0
"""Copies of a single slice, as many as a disc's image has, and the distance said to be between them."""
HELD_OUT = 36
"""Patients of SPIDER to judge by, so that 120 with a T2 are left to learn from."""
FRACTURED = 0.15
"""Share of the drawn vertebrae that are fractured."""
DISCS = ("L5-S1", "L4-L5", "L3-L4", "L2-L3", "L1-L2", "T12-L1", "T11-T12", "T10-T11", "T9-T10", "T8-T9")
"""SPIDER counts discs from the lowest one, which is 1."""


def spine_net(*words: str | Path) -> float:
    """Run a command to its end; its minutes. Some failed rows are no failure here."""
    began = time.monotonic()
    print("+ spinenet", *words, flush=True)  # noqa: T201 - what a benchmark is for
    done = subprocess.run([sys.executable, "-m", "flows.cli", *map(str, words)], check=False)
    if done.returncode not in (0, 3):
        raise SystemExit(done.returncode)
    return (time.monotonic() - began) / 60


def wedge_cohort(folder: Path, scans: int) -> tuple[Path, Path]:
    """Manifest and labels of drawn lumbar scans with fractured vertebrae."""
    manifest = write_cohort(folder / "cohort", scans, 500_000, fractures=FRACTURED)
    truth = pq.read_table(folder / "cohort" / TRUTH_FOLDER / "vertebrae.parquet").to_pylist()
    rows = [
        (row["scan_id"], row["level"], row["wedge_fracture"]) for row in truth if row["share_in_view"] > 0.9
    ]
    return manifest, written(folder / "labels.csv", ("scan_id", "vertebra", "wedge_fracture"), rows)


def bulging_cohort(folder: Path, spider: Path, patients: int | None) -> tuple[Path, Path]:
    """Manifest and labels of SPIDER's T2 mid slices."""
    folder.mkdir(parents=True, exist_ok=True)
    with (spider / "mid.csv").open(encoding="utf-8") as stream:
        slices = [row for row in csv.DictReader(stream) if row["sequence"] == "t2"][:patients]
    for row in slices:
        image = np.asarray(cv2.imread(str(spider / "mid" / row["image"]), cv2.IMREAD_GRAYSCALE), np.float32)
        write_volume(
            folder / f"{row['patient']}.nii.gz", image, (float(row["row_mm"]), float(row["column_mm"]))
        )
    rows = [(row["patient"], f"p{row['patient']}", f"{row['patient']}.nii.gz") for row in slices]
    manifest = written(folder / "manifest.csv", ("scan_id", "subject_id", "path"), rows)
    sides = {row["patient"]: "learn" for row in slices} | dict.fromkeys(held_out(slices), "test")
    develop = [patient for patient, side in sides.items() if side == "learn"][::5]
    sides |= dict.fromkeys(develop, "develop")
    with (spider / "gradings.csv").open(encoding="utf-8") as stream:
        labels = [
            (f"p{row['patient']}", DISCS[int(row["disc"]) - 1], row["bulging"], sides[row["patient"]])
            for row in csv.DictReader(stream)
            if row["patient"] in sides and int(row["disc"]) <= len(DISCS)
        ]
    labels = [(*row[:3], "train" if row[3] == "learn" else row[3]) for row in labels]
    head = ("subject_id", "disc", "bulging", "side")
    return manifest, written(folder / "labels.csv", head, labels)


def held_out(slices: Sequence[Mapping[str, str]]) -> list[str]:
    """Patients to judge by: some of those from whom the trunk of the bundle ``open`` learnt nothing."""
    (source,) = [one for one in packaged_recipe("open_grading").sources if one.kind == "spider_mid"]
    files = [LabelledFile(row["patient"], subject_of(row["patient"]), "", _unread) for row in slices]
    sides = Split.model_validate(source.options.get("split", {})).of(files)
    unseen = [file.name for side in ("develop", "test") for file in sides[side]]
    return sorted(unseen, key=lambda name: hashlib.sha256(name.encode()).digest())[:HELD_OUT]


def _unread() -> NoReturn:
    raise AssertionError("patients are split, and nothing of them is read")


def write_volume(file: Path, image: npt.NDArray[np.float32], spacing: tuple[float, float]) -> None:
    """A slice, repeated, as a sagittal NIfTI volume: rows run down, columns to the back."""
    affine = np.zeros((4, 4))
    # from (row, column, slice) to patient mm, as NIfTI counts it: right, front and up are positive
    affine[0, 2], affine[1, 1], affine[2, 0], affine[3, 3] = -SLICE_MM, -spacing[1], -spacing[0], 1
    nibabel.save(nibabel.Nifti1Image(np.stack([image] * REPEATS, axis=2).astype(np.int16), affine), file)


def written(file: Path, head: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    """A CSV file."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([head, *rows])
    return file


def told(folder: Path, finding: str) -> dict[str, Any]:
    """What a bundle says of a finding that it adds."""
    added = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))["added"]
    found: dict[str, Any] = next(one for one in added if one["name"] == finding)
    return found


def wedge(folder: Path, scans: int, weights: str, more: Sequence[str]) -> None:
    """A wedge fracture of a vertebra, on drawn scans."""
    began = time.monotonic()
    manifest, labels = wedge_cohort(folder, scans)
    drawn = (time.monotonic() - began) / 60
    ran = spine_net("run", manifest, folder / "OUT", "--weights", weights)
    words = ("--finding", "wedge_fracture", "--of", "vertebra", "--bundle", folder / "bundle", *more)
    learnt = spine_net("finetune", folder / "OUT", labels, *map(str, words))
    figures = told(folder / "bundle", "wedge_fracture")["figures"]
    print(json.dumps({"minutes": {"draw": drawn, "run": ran, "finetune": learnt}, **figures}, indent=2))  # noqa: T201


def bulging(folder: Path, spider: Path, patients: int | None, weights: str, more: Sequence[str]) -> None:
    """Disc bulging on SPIDER's T2 mid slices, from 30, 60 and 120 patients."""
    manifest, labels = bulging_cohort(folder, spider, patients)
    ran = spine_net("run", manifest, folder / "OUT", "--weights", weights)
    words = ("--finding", "bulging", "--split", "side", "--bundle", folder / "bundle", *more)
    learnt = spine_net("finetune", folder / "OUT", labels, *map(str, words))
    figures = told(folder / "bundle", "bulging")["figures"]
    print(json.dumps({"minutes": {"run": ran, "finetune": learnt}, **figures}, indent=2))  # noqa: T201


def main() -> None:
    """Measure what the command line names; words after ``--`` go to ``spinenet finetune``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("wedge", "bulging"))
    parser.add_argument("folder", type=Path, help="for the cohort, the run and the bundle; gone on with")
    parser.add_argument("--weights", default="open")
    parser.add_argument("--scans", type=int, default=200, help="of wedge")
    parser.add_argument("--spider", type=Path, help="of bulging: folder with mid.csv, mid and gradings.csv")
    parser.add_argument("--patients", type=int, help="of bulging: the first ones only")
    parser.add_argument("more", nargs="*", default=[])
    asked = parser.parse_args()
    if asked.what == "wedge":
        wedge(asked.folder, asked.scans, asked.weights, asked.more)
    else:
        curve = asked.more or ["--curve", "30,60,120", "--folds", "5"]
        bulging(asked.folder, asked.spider, asked.patients, asked.weights, curve)


if __name__ == "__main__":
    main()
