"""A finished run of made-up columns in a second, for fine-tuning: drawn boxes, known to the run as detected.

The discs of some are bright, and some bodies are: what a finding of a disc or a vertebra can be learnt from.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spinenet.cohort.begin import take_up
from spinenet.cohort.checkpoints import Detections, detection_key, save_detections
from spinenet.cohort.part import Part
from spinenet.cohort.pieces import do_part, finalise_run, plan_run
from spinenet.cohort.request import RunRequest
from spinenet.cohort.results import read_results
from spinenet.networks.grading import GradingNetwork
from spinenet.readers.series import read_scan
from spinenet.settings import Settings
from spinenet.storage import Store
from spinenet.types import Scan, Vertebra
from spinenet.weights import resolve
from spinenet.weights.networks import Networks, save_bundle
from support.cohorts import write
from support.tiny_networks import TINY, tiny_networks

BODIES, SLICES = 5, 3
GRADING: dict[str, Any] = {"width": 2, "blocks": [1, 1, 1, 1]}
_TOP, _LEFT, _HEIGHT, _WIDTH, _PITCH = 12, 30, 14, 18, 18
"""Pixels of 2 mm: bodies of 28 by 36 mm, 8 mm apart."""


@dataclass(frozen=True)
class TuningRun:
    """A run, the bundle that it was begun with, and what is true of its discs and bodies by their places."""

    manifest: Path
    out: Path
    bundle: Path
    discs: list[list[int]]
    bodies: list[list[int]]

    def labels(self, file: Path, of: str = "disc", **more: Sequence[object]) -> Path:
        """Labels of all that the run named, by scan and level; ``more`` columns are of every row."""
        table = read_results(str(self.out)).vertebrae
        truth = self.discs if of == "disc" else self.bodies
        rows = []
        for number, (scan_id, group) in enumerate(table.groupby("scan_id", sort=True)):
            levels = group["level"].tolist()
            places = [f"{a}-{b}" for a, b in itertools.pairwise(levels)] if of == "disc" else levels
            rows += [[scan_id, place, value] for place, value in zip(places, truth[number], strict=True)]
        head = ["scan_id", of, "bright", *more]
        with file.open("w", newline="", encoding="utf-8") as stream:
            extra = [[values[k % len(values)] for values in more.values()] for k in range(len(rows))]
            csv.writer(stream).writerows([head, *(r + e for r, e in zip(rows, extra, strict=True))])
        return file

    def regraded(self, bundle: Path) -> None:
        """Do the run anew with another bundle."""
        begin_and_do(self.manifest, self.out, bundle, change="regrade")


def small_bundle(folder: Path) -> Path:
    """Untrained networks, the grading one the smallest that there is."""
    networks = tiny_networks()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        grading = GradingNetwork(**GRADING).eval()
    save_bundle(
        folder,
        Networks(networks.detector, networks.appearance, networks.context, grading),
        name="small",
        architecture={**TINY, "grading": GRADING},
        licence="Terms of the small bundle",
        origin="made by a test",
        training_data="none",
        figures={},
    )
    return folder


def column(discs: Sequence[int], bodies: Sequence[int], rng: np.random.Generator) -> Scan:
    """A column of five boxes, with bright boxes and bright gaps where they are asked for."""
    image = np.full((120, 80), 40.0)
    for place, bright in enumerate(bodies):
        top = _TOP + place * _PITCH
        image[top : top + _HEIGHT, _LEFT : _LEFT + _WIDTH] = 300 if bright else 200
    for place, bright in enumerate(discs):
        top = _TOP + place * _PITCH + _HEIGHT
        image[top : top + _PITCH - _HEIGHT, _LEFT : _LEFT + _WIDTH] = 400 if bright else 100
    volume = np.stack([image + rng.normal(0, 10, image.shape) for _ in range(SLICES)], axis=2)
    affine = np.zeros((4, 4))
    affine[0, 2], affine[1, 1], affine[2, 0], affine[3, 3] = 5.0, 2.0, -2.0, 1
    return Scan(np.clip(volume, 0, 4095).round().astype(np.float32), (2.0, 2.0), 5.0, affine, "T2")


def detected() -> tuple[Vertebra, ...]:
    """What a detector would find in each column."""
    quads = []
    for place in range(BODIES):
        top, bottom = _TOP + place * _PITCH, _TOP + place * _PITCH + _HEIGHT - 1
        left, right = _LEFT, _LEFT + _WIDTH - 1
        quads.append(np.array([[right, top], [right, bottom], [left, bottom], [left, top]], float))
    return tuple(Vertebra(tuple(range(SLICES)), np.stack([quad] * SLICES)) for quad in quads)


def begin_and_do(manifest: Path, out: Path, bundle: Path, change: str = "refuse") -> None:
    """Do a run of which the detections are known beforehand."""
    request = RunRequest(manifest=str(manifest), out=str(out), weights=str(bundle), change=change)  # type: ignore[arg-type]
    plan, store = plan_run(request), Store.at(str(out))
    for index in range(plan.n_shards):
        entries = plan.shard(index).entries
        key = detection_key(resolve(bundle).detector_digest, Settings().deciding_detections, entries)
        known = {e.scan_id: Detections(read_scan(e.path).fingerprint, detected()) for e in entries}
        save_detections(store, index, key, known)
    do_part(take_up(str(out)), Part(0, of=1), processes=1)
    finalise_run(str(out))


def tuning_run(folder: Path, scans: int = 12) -> TuningRun:
    """Make a run of some scans, each of a subject of its own."""
    rng = np.random.default_rng(5)
    lines, discs, bodies = ["scan_id,subject_id,path"], [], []
    for number in range(scans):
        name = f"scan-{number:02d}"
        discs.append(rng.permutation([0, 0, 1, 1]).tolist())
        bodies.append(rng.permutation([0, 0, 1, 1, 1]).tolist())
        write(folder / name, column(discs[-1], bodies[-1], rng), name)
        lines.append(f"{name},sub-{number:02d},{name}")
    manifest = folder / "manifest.csv"
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    bundle = small_bundle(folder / "small")
    begin_and_do(manifest, folder / "OUT", bundle)
    return TuningRun(manifest, folder / "OUT", bundle, discs, bodies)
