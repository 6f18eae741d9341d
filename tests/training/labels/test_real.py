"""Labelled slices of real patients, as they are shared."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spinenet.geometry import Points
from spinenet.training.labels.files import read_all
from spinenet.training.labels.labelled import LabelledScan
from spinenet.training.labels.polygons import polygon_files
from spinenet.training.labels.spider_slices import space_files

LABELLED = Path(__file__).parents[2] / "data/labelled"


def sizes_mm(scan: LabelledScan) -> tuple[Points, Points]:
    """Widths and heights (n,) in mm of all bodies."""
    quads = np.concatenate([vertebra.quads for vertebra in scan.vertebrae])
    rt, rb, lb, lt = quads.transpose(1, 0, 2)
    width = np.linalg.norm((rt + rb - lt - lb) / 2, axis=1) * scan.spacing_mm
    height = np.linalg.norm((rt + lt - rb - lb) / 2, axis=1) * scan.spacing_mm
    return width, height


def test_a_slice_of_spider() -> None:
    readings = read_all(space_files(LABELLED))
    assert not readings.unused
    (scan,) = readings.scans
    assert [v.level for v in scan.vertebrae] == ["T11", "T12", "L1", "L2", "L3", "L4", "L5"]
    width, height = sizes_mm(scan)
    assert ((width > 26) & (width < 40)).all()
    assert ((height > 18) & (height < 30)).all()
    assert set(scan.discs["L4-L5"]) >= {"pfirrmann", "herniation", "upper_endplate_defect"}


def test_polygons_of_a_slice_and_of_a_mirrored_one() -> None:
    files = polygon_files(
        LABELLED / "mendeley/polygons.jsonl", source="mendeley", spacing_mm=0.55, sequence="T1"
    )
    readings = read_all(files)
    assert not readings.unused
    for scan in readings.scans:
        assert [v.level for v in scan.vertebrae] == ["L1", "L2", "L3", "L4", "L5", "S1"]
        width, height = sizes_mm(scan)
        assert ((width > 24) & (width < 42)).all()
        assert ((height > 16) & (height < 32)).all()
        # the sacrum lies behind the line from L2 to L4, which is to the right
        centres = {v.level: v.mean_quad.mean(axis=0) for v in scan.vertebrae}
        step = (centres["L4"] - centres["L2"]) / (centres["L4"] - centres["L2"])[1]
        assert centres["S1"][0] > centres["L4"][0] + step[0] * (centres["S1"][1] - centres["L4"][1])
    assert [scan.subject for scan in readings.scans] == ["mendeley-192", "mendeley-226"]
