"""SPIDER's smaller form: vertebrae of one value, counted from the lowest, followed from slice to slice."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from spinenet.errors import LabelsError
from spinenet.training.labels.files import read_all
from spinenet.training.labels.spider_slices import mid_files, space_files
from support.labelled_spines import CANAL, VALUES, Drawn, drawn, errors_mm

GRADES = (
    "patient,disc,modic,upper_endplate,lower_endplate,spondylolisthesis,herniation,narrowing,bulging,pfirrmann\n"
    "7,1,0,0,1,0,0,1,1,4\n"
)


@pytest.fixture(scope="module")
def truth() -> Drawn:
    return drawn(seed=9, spacing=(0.7, 0.7), slices=7)


def written(folder: Path, truth: Drawn, patient: str = "7") -> None:
    (folder / "space" / patient).mkdir(parents=True)
    codes = np.where(truth.labels == CANAL, 3, truth.labels > 0).astype(np.uint8)
    for k in range(codes.shape[2]):
        stem = folder / "space" / patient / f"{k:02d}"
        cv2.imwrite(f"{stem}.jpg", truth.volume[:, :, k].clip(0, 255).astype(np.uint8))
        cv2.imwrite(f"{stem}-mask.png", codes[:, :, k])
    (folder / "space.csv").write_text(f"patient,row_mm,column_mm,slice_mm\n{patient},0.7,0.7,5.0\n")
    (folder / "gradings.csv").write_text(GRADES)


def test_vertebrae_without_numbers_are_counted_from_the_lowest(tmp_path: Path, truth: Drawn) -> None:
    written(tmp_path, truth)
    readings = read_all(space_files(tmp_path))
    assert not readings.unused
    (scan,) = readings.scans
    assert [v.level for v in scan.vertebrae][-5:] == ["L1", "L2", "L3", "L4", "L5"]
    errors = errors_mm(scan, truth)
    assert errors.mean() < 0.6
    assert np.percentile(errors, 97) < 1.5
    assert scan.discs["L5-S1"]["pfirrmann"] == 3
    assert (scan.subject, scan.sequence, scan.whole) == ("spider-7", "T2", True)


def test_a_body_missing_from_the_middle_slice_still_counts(tmp_path: Path, truth: Drawn) -> None:
    # as in a scoliosis: L5 has left the middle slices, where L4 is then the lowest
    without = truth.labels.copy()
    without[:, :, 3:][without[:, :, 3:] == VALUES["L5"]] = 0
    written(tmp_path, Drawn(truth.volume, without, truth.affine, truth.spacing, truth.quads))
    (scan,) = read_all(space_files(tmp_path)).scans
    lowest, above = scan.vertebrae[-1], scan.vertebrae[-2]
    assert (lowest.level, above.level) == ("L5", "L4")
    assert max(lowest.slices) == 2
    assert max(above.slices) > 3
    assert errors_mm(scan, truth).mean() < 0.6


def test_what_cannot_be_used_is_listed(tmp_path: Path, truth: Drawn) -> None:
    written(tmp_path, truth)
    table = tmp_path / "space.csv"
    table.write_text(table.read_text() + "8,0.7,0.7,5.0\n7,0.7,0.9,5.0\n")
    (tmp_path / "space/7/03-mask.png").unlink()
    assert [unused.reason for unused in read_all(space_files(tmp_path)).unused] == [
        "03-mask.png: no such file or directory",
        "space/8 holds no slices",
        "03-mask.png: no such file or directory",
    ]
    table.write_text("patient,slice_mm\n7,5\n")
    with pytest.raises(LabelsError, match=r"space\.csv has no column 'row_mm'"):
        space_files(tmp_path)


def test_mid_slices_have_grades_and_no_bodies(tmp_path: Path) -> None:
    (tmp_path / "mid").mkdir()
    cv2.imwrite(str(tmp_path / "mid/7_t1.jpg"), np.full((40, 30), 90, np.uint8))
    (tmp_path / "mid.csv").write_text(
        "image,patient,sequence,row_mm,column_mm,SliceThickness\n"
        "7_t1.jpg,7,t1,0.6,0.6,4.0\n8_t2.jpg,8,t2,0.6,0.6,\n7_t1.jpg,7,t1,0.6,0.9,4.0\n"
    )
    (tmp_path / "gradings.csv").write_text(GRADES)
    readings = read_all(mid_files(tmp_path))
    (scan,) = readings.scans
    assert (scan.volume.shape, scan.spacing_mm, scan.slice_spacing) == ((40, 30, 1), 0.6, 4.0)
    assert (scan.sequence, scan.vertebrae, list(scan.slices())) == ("T1", (), [])
    assert scan.discs["L5-S1"]["pfirrmann"] == 3
    assert [unused.reason for unused in readings.unused] == [
        "8_t2.jpg: no such file or directory",
        "mid/7_t1.jpg is said to have pixels of 0.6 by 0.9 mm, which are not square",
    ]


def test_mid_slices_get_the_outlines_of_a_file_and_the_others_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "mid").mkdir()
    for name in ("7_t1.jpg", "7_t2.jpg", "8_t2.jpg"):
        cv2.imwrite(str(tmp_path / "mid" / name), np.full((40, 30), 90, np.uint8))
    (tmp_path / "mid.csv").write_text(
        "image,patient,sequence,row_mm,column_mm\n"
        "7_t1.jpg,7,t1,0.6,0.6\n7_t2.jpg,7,t2,0.6,0.6\n8_t2.jpg,8,t2,0.6,0.6\n"
    )
    (tmp_path / "gradings.csv").write_text(GRADES)
    quad = [[20, 10], [20, 15], [10, 15], [10, 10]]
    lines = [
        {"name": "mid/7_t1.jpg", "quads": {"S1": quad}},
        {"name": "mid/7_t2.jpg", "quads": {"S1": quad}},
    ]
    outlines = tmp_path / "outlines.jsonl"
    outlines.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    (scan,) = read_all(mid_files(tmp_path, outlines=outlines, series=("t2",))).scans
    assert scan.name == "mid/7_t2.jpg"
    assert (scan.open_above, scan.open_below) == (True, False)
    (found,) = scan.slices()
    assert np.array_equal(found.quads, [quad])
    with pytest.raises(LabelsError, match="no series 't3'"):
        mid_files(tmp_path, series=("t3",))
