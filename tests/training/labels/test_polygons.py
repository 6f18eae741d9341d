"""Polygons of bodies, whatever the order of their points and the shape of the picture's pixels."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from spinenet.errors import LabelsError
from spinenet.training.labels.files import read_all
from spinenet.training.labels.polygons import polygon_files

BODY = np.array([[60.0, 20.0], [62.0, 52.0], [18.0, 55.0], [20.0, 18.0]])
"""rt, rb, lb, lt."""
BODIES = {"L5": np.add(BODY, (0, 90)), "S1": np.add(BODY, (8, 135)), "L4": np.add(BODY, (0, 45))}


def written(folder: Path, **changes: object) -> Path:
    line: dict[str, object] = {
        "image": "a.png",
        "subject": "s",
        "spacing_mm": 0.9,
        "polygons": {level: body[[2, 1, 0, 3]].tolist() for level, body in BODIES.items()},
    }
    line = {key: value for key, value in (line | changes).items() if value is not None}
    path = folder / "polygons.jsonl"
    path.write_text(json.dumps(line) + "\n\n")
    cv2.imwrite(str(folder / "a.png"), np.arange(220 * 120, dtype=np.uint16).reshape(220, 120))
    return path


def test_polygons_become_quads_from_top_to_bottom(tmp_path: Path) -> None:
    (file,) = polygon_files(written(tmp_path), source="own", sequence="T1")
    scan = pickle.loads(pickle.dumps(file)).read()
    assert [v.level for v in scan.vertebrae] == ["L4", "L5", "S1"]
    for vertebra in scan.vertebrae:
        assert vertebra.slices == (0,)
        assert np.abs(vertebra.quads[0] - BODIES[vertebra.level]).max() < 1.5
    assert scan.volume.shape == (220, 120, 1)
    assert (scan.spacing_mm, scan.sequence, scan.subject, scan.source) == (0.9, "T1", "s", "own")
    assert scan.open_above
    # below S1 nothing is looked for
    assert not scan.open_below


def test_stretched_pictures_become_square(tmp_path: Path) -> None:
    (file,) = polygon_files(written(tmp_path, spacing_mm=[0.9, 0.6]), source="own")
    scan = file.read()
    assert scan.spacing_mm == 0.6
    assert scan.volume.shape == (330, 120, 1)
    for vertebra in scan.vertebrae:
        truth = (BODIES[vertebra.level] + 0.5) * [1, 1.5] - 0.5
        assert np.abs(vertebra.quads[0] - truth).max() < 2


def column() -> dict[str, list[list[float]]]:
    """Five bodies above one another, and a sacrum that turns backwards, to the right."""
    lumbar = {f"L{n}": (BODY * 0.7 + [10, 30 * n]).tolist() for n in range(1, 6)}
    return lumbar | {"S1": (BODY * 0.7 + [30, 178]).tolist()}


@pytest.mark.parametrize(
    ("mirrored", "faces", "turned"),
    [(False, None, False), (True, None, True), (True, "left", False), (False, "right", True)],
)
def test_who_faces_right_is_mirrored(tmp_path: Path, mirrored: bool, faces: str | None, turned: bool) -> None:
    polygons = column()
    if mirrored:
        polygons = {level: [[119 - x, y] for x, y in points] for level, points in polygons.items()}
    (file,) = polygon_files(written(tmp_path, polygons=polygons, faces=faces), source="own")
    scan = file.read()
    assert (scan.volume[0, 0, 0] > scan.volume[0, 1, 0]) == turned
    sacrum = scan.vertebrae[-1].quads[0]
    assert np.abs(sacrum - (BODY * 0.7 + [30, 178])).max() < 1.5 or mirrored != turned
    # in the mirrored picture as well the corner rt is the right upper one
    assert sacrum[0, 0] > sacrum[3, 0]


def test_a_body_without_four_corners_is_doubtful(tmp_path: Path) -> None:
    polygons = {level: body.tolist() for level, body in BODIES.items()}
    polygons["L4"] = [[60, 65], [18, 99], [20, 63], [40, 64]]
    (file,) = polygon_files(written(tmp_path, polygons=polygons), source="own")
    scan = file.read()
    assert [v.level for v in scan.vertebrae] == ["L5", "S1"]
    (picture,) = scan.slices()
    assert not picture.counts()[70, 30]
    assert picture.counts()[120, 30]


def test_a_patient_is_a_subject_of_the_source(tmp_path: Path) -> None:
    (file,) = polygon_files(written(tmp_path, subject=None, patient=41), source="own")
    assert file.subject == "own-41"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            {"polygons": {"L6": [[0, 0], [9, 0], [9, 9], [0, 9]]}},
            "a.png has a polygon of 'L6', which is no level",
        ),
        ({"polygons": {"L5": [[0, 0], [9, 9]]}}, "the polygon of L5 of a.png encloses nothing"),
        ({"polygons": {"L5": "text"}}, "the polygon of L5 of a.png is no list of points"),
        (
            {"polygons": {"L4": BODIES["L5"].tolist(), "L5": BODIES["L4"].tolist()}},
            "a.png stands on its head: L4 lies below L5, and so on",
        ),
        ({"polygons": {"L4": (BODY + 300).tolist()}}, "a.png has no polygons, or one outside the picture"),
        ({"polygons": {}}, "a.png has no polygons, or one outside the picture"),
        ({"spacing_mm": "wide"}, "a.png has no spacing_mm that is a length, or two, in mm"),
        ({"spacing_mm": None}, "a.png has no spacing_mm that is a length, or two, in mm"),
        ({"faces": "up"}, "a.png is said to face 'up', which is neither left nor right"),
        ({"image": "b.png"}, "b.png: no such file or directory"),
    ],
)
def test_what_cannot_be_used_is_listed(tmp_path: Path, changes: dict[str, object], why: str) -> None:
    readings = read_all(polygon_files(written(tmp_path, **changes), source="own"))
    assert [unused.reason for unused in readings.unused] == [why]


def test_a_list_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelsError, match=r"line 1 of polygons\.jsonl states no image, or no polygons"):
        polygon_files(written(tmp_path, polygons=[1]), source="own")
    with pytest.raises(LabelsError, match="states no subject"):
        polygon_files(written(tmp_path, subject=None), source="own")
