"""Small cohorts on disk, good scans and broken ones, and the command that runs them."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom

from spinenet.cohort.tables import STAGES, TABLES
from spinenet.synthetic.dicom import uid_from, write_series
from spinenet.synthetic.image import render
from spinenet.types import Scan
from support.canary import NEEDED, with_canary

SHARD_SIZE = 4
"""Scans in a shard of the undisturbed run."""


def small_scan(seed: int, gain: float = 1.0) -> Scan:
    """The lower two thirds of three slices of a lumbar scan, at a quarter of its resolution.

    A second to read, and still a spine: of most seeds three to five vertebrae are found.
    """
    scan = render(seed).scan
    step = np.array([4, 4, 3])
    volume = scan.volume[:: step[0], :: step[1], :: step[2]]
    first = np.array([volume.shape[0] // 3, 0, 1])
    affine = scan.affine.copy()
    affine[:, :3] *= step
    affine[:, 3] += affine[:, :3] @ first
    return dataclasses.replace(
        scan,
        volume=(volume[first[0] :, :, 1:4] * gain).round(),
        pixel_spacing=(scan.pixel_spacing[0] * 4, scan.pixel_spacing[1] * 4),
        slice_spacing=scan.slice_spacing * 3,
        affine=affine,
    )


def write(folder: Path, scan: Scan, name: str) -> list[Path]:
    """A scan as a DICOM series."""
    return write_series(
        folder,
        scan,
        patient_id=name,
        study_uid=uid_from("study", name),
        series_uid=uid_from("series", name),
        description="T2 sagittal",
    )


def _edited(change: Callable[[pydicom.Dataset, int], None]) -> Callable[[Path, Scan, str], None]:
    def make(folder: Path, scan: Scan, name: str) -> None:
        write(folder, scan, name)
        _edit(folder, change)

    return make


def _edit(folder: Path, change: Callable[[pydicom.Dataset, int], None]) -> None:
    for index, file in enumerate(sorted(folder.iterdir())):
        dataset = pydicom.dcmread(file)
        change(dataset, index)
        dataset.save_as(file)


def _axial(dataset: pydicom.Dataset, index: int) -> None:
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = [0, 0, 4 * index]


def _one_place(dataset: pydicom.Dataset, index: int) -> None:
    dataset.ImagePositionPatient = [0, 0, 0]


def _two_sizes(dataset: pydicom.Dataset, index: int) -> None:
    if index == 0:
        dataset.PixelSpacing = [1, 1]


def _without(keyword: str) -> Callable[[pydicom.Dataset, int], None]:
    return lambda dataset, index: delattr(dataset, keyword)


def _truncated(dataset: pydicom.Dataset, index: int) -> None:
    dataset.PixelData = dataset.PixelData[: len(dataset.PixelData) // 4 * 2]


def _computed_tomography(dataset: pydicom.Dataset, index: int) -> None:
    dataset.Modality = "CT"


def _talkative(dataset: pydicom.Dataset, index: int) -> None:
    with_canary(dataset, frozenset(NEEDED))


def _text(folder: Path, scan: Scan, name: str) -> None:
    folder.mkdir(parents=True)
    (folder / "scan.dcm").write_text("this is not DICOM " * 50, encoding="utf-8")


def _single(folder: Path, scan: Scan, name: str) -> None:
    for file in sorted(write(folder, scan, name))[1:]:
        file.unlink()


BROKEN: Mapping[str, Callable[[Path, Scan, str], None]] = {
    "path_missing": lambda folder, scan, name: None,
    "no_files": lambda folder, scan, name: folder.mkdir(parents=True),
    "not_dicom": _text,
    "not_mr": _edited(_computed_tomography),
    "no_pixels": _edited(_without("PixelData")),
    "bad_pixels": _edited(_truncated),
    "missing_tags": _edited(_without("PixelSpacing")),
    "not_sagittal": _edited(_axial),
    "duplicate_positions": _edited(_one_place),
    "too_few_slices": _single,
}
"""Ten ways to be unusable, by the reason that each must be given."""


def write_manifest(folder: Path, good: int, subjects: int = 3) -> Path:
    """``good`` usable scans with the broken ones spread between them."""
    scans = [small_scan(seed) for seed in range(subjects)]
    lines = ["scan_id,path,site"]
    broken = list(BROKEN.items())
    for i in range(good):
        name = f"good-{i:02d}"
        base = scans[i % subjects]
        scan = dataclasses.replace(base, volume=(base.volume * (1 - 0.02 * i)).round())
        # the first one's headers hold the canary, and so do those of one that fails in its pixels
        (_edited(_talkative) if i == 0 else write)(folder / name, scan, name)
        lines.append(f"{name},{name},leeds")
        if i % 2 and broken:
            reason, make = broken.pop(0)
            make(folder / f"bad-{reason}", base, reason)
            if reason == "bad_pixels":
                _edit(folder / f"bad-{reason}", _talkative)
            lines.append(f"bad-{reason},bad-{reason},york")
    manifest = folder / "manifest.csv"
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return manifest


def command(*arguments: str | Path) -> list[str]:
    """The command line of ``spinenet`` with this interpreter."""
    return [sys.executable, "-m", "flows.cli", *map(str, arguments)]


def spinenet(*arguments: str | Path, timeout: float = 400) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=timeout, check=False)


def tables(out: Path) -> dict[str, pd.DataFrame]:
    """The tables of a run without the columns of timings."""
    timings = [f"seconds_{stage}" for stage in STAGES]
    return {name: pd.read_parquet(out / name).drop(columns=timings, errors="ignore") for name in TABLES}


def assert_same_tables(first: Path, second: Path) -> None:
    """Value for value, apart from timings."""
    before, after = tables(first), tables(second)
    for name in TABLES:
        pd.testing.assert_frame_equal(before[name], after[name], check_exact=True)


@dataclass(frozen=True)
class Undisturbed:
    """A manifest, the result of running it, and what the command said."""

    manifest: Path
    out: Path
    process: subprocess.CompletedProcess[str]

    @property
    def arguments(self) -> tuple[str | Path, ...]:
        """What follows OUT on the command line."""
        return ("--weights", "synthetic", "--shard-size", str(SHARD_SIZE))
