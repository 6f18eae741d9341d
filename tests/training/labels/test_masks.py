"""Pictures and volumes with label maps beside them, as a user may have them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from spinenet.errors import LabelsError
from spinenet.training.labels.files import read_all
from spinenet.training.labels.masks import mask_files
from support.labelled_spines import CANAL, VALUES, Drawn, drawn, errors_mm, stored, write_nifti

LEVELS = {value: level for level, value in VALUES.items()}


@pytest.fixture(scope="module")
def truth() -> Drawn:
    return drawn(seed=9, spacing=(0.7, 0.7), slices=7)


def listed(folder: Path, *lines: dict[str, object]) -> Path:
    path = folder / "list.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    return path


def picture(path: Path, array: npt.NDArray[np.integer]) -> str:
    assert cv2.imwrite(str(path), array)
    return path.name


def test_a_picture_and_its_mask(tmp_path: Path, truth: Drawn) -> None:
    k = 3
    image = picture(tmp_path / "a.png", np.clip(truth.volume[:, :, k] * 20, 0, 65535).astype(np.uint16))
    mask = picture(tmp_path / "a-mask.png", truth.labels[:, :, k])
    lines = [{"image": image, "mask": mask, "subject": "s", "spacing_mm": 0.7, "open_above": False}]
    readings = read_all(mask_files(listed(tmp_path, *lines), source="own", levels=LEVELS, canal=CANAL))
    assert not readings.unused
    (scan,) = readings.scans
    assert scan.volume.shape == (*truth.volume.shape[:2], 1)
    assert scan.volume.max() > 255
    assert [v.level for v in scan.vertebrae][-5:] == ["L1", "L2", "L3", "L4", "L5"]
    at_middle = replace(truth, quads={(level, 0): q for (level, j), q in truth.quads.items() if j == k})
    assert errors_mm(scan, at_middle).mean() < 0.7
    assert not scan.open_above
    assert scan.open_below
    assert not scan.whole
    assert len(list(scan.slices())) == 1


@pytest.mark.parametrize(("order", "flips"), [((2, 1, 0), ()), ((2, 1, 0), (0, 1)), ((0, 1, 2), (1, 2))])
def test_a_volume_and_its_mask(
    tmp_path: Path, truth: Drawn, order: tuple[int, int, int], flips: tuple[int, ...]
) -> None:
    pytest.importorskip("nibabel")
    write_nifti(tmp_path / "sub-1_T2w.nii.gz", *stored(truth.volume, truth.affine, order, flips))
    write_nifti(tmp_path / "sub-1_dseg.nii.gz", *stored(truth.labels, truth.affine, (2, 1, 0), (0,)))
    line: dict[str, object] = {"image": "sub-1_T2w.nii.gz", "mask": "sub-1_dseg.nii.gz", "patient": 1}
    (file,) = mask_files(listed(tmp_path, line), source="own", levels=LEVELS, canal=CANAL)
    scan = file.read()
    assert (scan.subject, scan.sequence, scan.whole) == ("own-1", "T2", True)
    assert np.allclose(scan.volume, truth.volume)
    errors = errors_mm(scan, truth)
    assert errors.mean() < 0.6
    assert np.percentile(errors, 97) < 1.2


def test_masks_of_bodies_alone_need_no_canal(tmp_path: Path, truth: Drawn) -> None:
    bodies = np.zeros(truth.labels.shape[:2], np.uint8)
    for level, value in VALUES.items():
        cv2.fillPoly(bodies, [np.round(truth.quads[level, 3]).astype(np.int32)], value * 30)
    picture(tmp_path / "a.png", truth.volume[:, :, 3].clip(0, 255).astype(np.uint8))
    picture(tmp_path / "m.png", bodies)
    line: dict[str, object] = {"image": "a.png", "mask": "m.png", "subject": "s", "spacing_mm": [0.7, 0.7]}
    levels = {30 * value: level for value, level in LEVELS.items()}
    (scan,) = read_all(mask_files(listed(tmp_path, line), source="own", levels=levels)).scans
    at_middle = replace(truth, quads={(level, 0): q for (level, j), q in truth.quads.items() if j == 3})
    assert errors_mm(scan, at_middle).mean() < 0.7


def test_what_cannot_be_used_is_listed(tmp_path: Path, truth: Drawn) -> None:
    picture(tmp_path / "a.png", truth.volume[:, :, 3].clip(0, 255).astype(np.uint8))
    picture(tmp_path / "small.png", truth.labels[1:, :, 3])
    picture(tmp_path / "empty.png", np.zeros(truth.labels.shape[:2], np.uint8))
    picture(tmp_path / "m.jpg", truth.labels[:, :, 3])
    picture(tmp_path / "colour.png", np.dstack([truth.labels[:, :, 3]] * 2 + [truth.labels[:, :, 3] * 2]))
    (tmp_path / "text.png").write_text("no picture")
    names = ["small.png", "empty.png", "m.jpg", "colour.png", "text.png", "none.png"]
    lines: list[dict[str, object]] = [
        {"image": "a.png", "mask": name, "subject": "s", "spacing_mm": 0.7} for name in names
    ]
    lines.append({"image": "a.png", "mask": "empty.png", "subject": "s", "spacing_mm": 0})
    readings = read_all(mask_files(listed(tmp_path, *lines), source="own", levels=LEVELS))
    assert [unused.reason for unused in readings.unused] == [
        "small.png differs in size from a.png",
        "in empty.png no whole vertebral body is labelled",
        "m.jpg is a JPEG, which does not keep the values of a mask",
        "colour.png is in colour",
        "text.png is no picture that can be read",
        "none.png: no such file or directory",
        "a.png has no spacing_mm that is a length, or two, in mm",
    ]


def test_a_list_that_is_none_is_refused(tmp_path: Path) -> None:
    for line, why in (
        ({"image": "a.png", "subject": "s"}, "line 1 of list.jsonl states no image, or no mask"),
        ({"image": "a.png", "mask": "m.png"}, "line 1 of list.jsonl states no subject"),
    ):
        with pytest.raises(LabelsError, match=why):
            mask_files(listed(tmp_path, dict(line)), source="own", levels=LEVELS)
    (tmp_path / "list.jsonl").write_text("{")
    with pytest.raises(LabelsError, match=r"line 1 of list\.jsonl is no JSON object"):
        mask_files(tmp_path / "list.jsonl", source="own", levels=LEVELS)
    with pytest.raises(LabelsError, match="'L6' is no level"):
        mask_files(tmp_path / "list.jsonl", source="own", levels={1: "L6"})
    with pytest.raises(LabelsError, match="two values have one level"):
        mask_files(tmp_path / "list.jsonl", source="own", levels={1: "L5", 2: "L5"})
