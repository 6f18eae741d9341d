"""Pictures of held-out real scans as bundles read them: pictures_of_real_scans.py OUT --data DIR.

Of each kind of scan those with most faults in the last bundle come first, then others at random. A picture
shows one slice, once for each bundle, with outlines and levels (labelled bodies thin and white) and, beside
each disc, its Pfirrmann grade and the findings that are present. Look at each when bundled weights change.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from spinenet import weights
from spinenet.anatomy import FINDINGS
from spinenet.inference.pipeline import read_spine
from spinenet.settings import Settings
from spinenet.training.labelled_score import compare
from spinenet.training.labelled_sources import files_of
from spinenet.training.labels.files import LabelledFile, Unused, read_each
from spinenet.training.labels.labelled import LabelledScan
from spinenet.training.labels.slabs import in_slabs
from spinenet.training.recipe import packaged_recipe, with_data
from spinenet.types import DiscGrade, Scan, SpineReading, Vertebra
from spinenet.weights.networks import Networks, load_networks

Picture = npt.NDArray[np.uint8]

ROWS = 760
"""Height of a picture in pixels."""
SHORT = {
    "narrowing": "nar",
    "central_canal_stenosis": "canal",
    "spondylolisthesis": "slip",
    "upper_endplate_defect": "upper plate",
    "lower_endplate_defect": "lower plate",
    "upper_marrow_change": "upper marrow",
    "lower_marrow_change": "lower marrow",
    "foraminal_stenosis_left": "foramen l",
    "foraminal_stenosis_right": "foramen r",
    "herniation": "hernia",
}


def held_out(data: Path) -> Iterator[tuple[str, LabelledFile]]:
    """Scans that no training saw, by kind: outlined T1 slices and T2 volumes, and graded T2 slices."""
    for name in ("first_detector", "open_grading"):
        for kind, files in files_of(with_data(packaged_recipe(name), data), "test").items():
            if not (name == "open_grading" and kind == "spider_space"):
                yield from ((kind, file) for file in files)


def read(scan: LabelledScan, networks: Networks) -> SpineReading:
    """What a bundle makes of a labelled scan; a single slice is read as such."""
    as_read = Scan(scan.volume, (scan.spacing_mm, scan.spacing_mm), scan.slice_spacing)
    return read_spine(as_read, networks, Settings(remove_single_slice=scan.volume.shape[2] > 1))


def faults(scan: LabelledScan, reading: SpineReading) -> int:
    """Bodies that were missed, misnamed or invented; of slices without labels 0."""
    score = compare(scan, reading.vertebrae)
    return score.bodies - score.named + score.false if scan.vertebrae else 0


def findings_of(grade: DiscGrade) -> str:
    """A disc's Pfirrmann grade, and which findings are present."""
    classes = {f.name: int(np.argmax(grade.probabilities[f.name])) for f in FINDINGS}
    present = [f"{SHORT[name]} {k}" for name, k in classes.items() if name in SHORT and k]
    return " ".join([f"P{classes['pfirrmann'] + 1}", *present])


def picture(scan: LabelledScan, reading: SpineReading, title: str) -> Picture:
    """One slice of a scan (rows, columns, 3) with what a bundle found in it."""
    middle = scan.volume.shape[2] // 2
    image = scan.volume[:, :, middle]
    low, high = np.percentile(image, (1, 99.5))
    grey = np.clip((image - low) / max(float(high - low), 1.0) * 255, 0, 255).astype(np.uint8)
    scale = ROWS / grey.shape[0]
    drawn = cv2.cvtColor(cv2.resize(grey, None, fx=scale, fy=scale), cv2.COLOR_GRAY2BGR)
    for body in scan.vertebrae:
        _outline(drawn, _quad(body, middle) * scale, (255, 255, 255), 1)
    for vertebra in reading.vertebrae:
        quad = _quad(vertebra, middle) * scale
        _outline(drawn, quad, (0, 200, 255) if vertebra.level == "S1" else (0, 230, 0), 2)
        _write(drawn, vertebra.level, quad.mean(axis=0) - np.array([14, -5]), (90, 90, 255))
    by_disc = {grade.level: grade for grade in reading.grades}
    for above, below in zip(reading.vertebrae, reading.vertebrae[1:], strict=False):
        grade = by_disc.get(f"{above.level}-{below.level}")
        if grade is not None:
            rear = (_quad(above, middle)[1] + _quad(below, middle)[0]) / 2 * scale
            _write(drawn, findings_of(grade), rear + np.array([14, 5]), (255, 230, 0))
    _write(drawn, title, np.array([6, 18]), (255, 255, 0))
    return np.asarray(drawn, np.uint8)


def _quad(vertebra: Vertebra, index: int) -> npt.NDArray[np.float64]:
    """Its quad in a slice, or in the slice next to it."""
    quad: npt.NDArray[np.float64] = vertebra.quads[int(np.argmin(np.abs(np.array(vertebra.slices) - index)))]
    return quad


def _outline(drawn: Picture, quad: npt.NDArray[np.float64], colour: tuple[int, int, int], width: int) -> None:
    cv2.polylines(drawn, [np.round(quad).astype(np.int32)], True, colour, width, cv2.LINE_AA)


def _write(drawn: Picture, text: str, place: npt.NDArray[np.float64], colour: tuple[int, int, int]) -> None:
    x, y = (int(value) for value in place)
    cv2.putText(drawn, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)


def chosen(
    found: Sequence[tuple[str, int]], count: int, rng: np.random.Generator
) -> tuple[list[str], list[str]]:
    """Names with most faults, and others at random, together ``count``."""
    worst = [name for name, number in sorted(found, key=lambda one: -one[1]) if number][: count // 2]
    others = [name for name, _ in found if name not in worst]
    return worst, [others[int(k)] for k in rng.permutation(len(others))[: count - len(worst)]]


def main() -> None:
    """Write the pictures, and print which they are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", nargs="+", default=["synthetic", "open"], help="before and after")
    parser.add_argument("--each", type=int, default=4, help="pictures of each kind of scan")
    args = parser.parse_args()
    torch.set_num_threads(1)
    bundles = {name: load_networks(weights.resolve(name), "cpu") for name in args.weights}
    last, rng = list(bundles.values())[-1], np.random.default_rng(0)
    args.out.mkdir(parents=True, exist_ok=True)
    by_kind: dict[str, dict[str, tuple[LabelledScan, SpineReading]]] = {}
    for kind, file in held_out(args.data):
        (labelled,) = read_each([file])
        if not isinstance(labelled, Unused):
            scan = in_slabs(labelled)
            by_kind.setdefault(kind, {})[scan.name] = (scan, read(scan, last))
    for kind, scans in by_kind.items():
        counts = [(name, faults(*one)) for name, one in scans.items()]
        worst, others = chosen(counts, args.each, rng)
        for name in [*worst, *others]:
            scan, reading = scans[name]
            readings = [
                reading if networks is last else read(scan, networks) for networks in bundles.values()
            ]
            titles = [f"{name} {bundle}" for bundle in bundles]
            parts = [picture(scan, one, title) for one, title in zip(readings, titles, strict=True)]
            path = args.out / f"{kind}-{name.replace('/', '-').rsplit('.', 1)[0]}.png"
            cv2.imwrite(str(path), np.hstack(parts))
            print(path, f"{dict(counts)[name]} faults", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
