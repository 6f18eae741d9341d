"""SPIDER as it is downloaded, made anew from a drawn spine: quads near the truth whatever the files' axes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spinenet.errors import LabelsError
from spinenet.training.labels.files import read_all
from spinenet.training.labels.labelled import LabelledScan
from spinenet.training.labels.spider import spider_files
from support.labelled_spines import CANAL, Drawn, drawn, errors_mm, stored, write_metaimage

pytest.importorskip("SimpleITK")

GRADES = [
    "Patient,IVD label,Modic,UP endplate,LOW endplate,Spondylolisthesis,Disc herniation,Disc narrowing,"
    "Disc bulging,Pfirrman grade",
    "7,1,0,0,1,0,0,1,1,4",
    "7,2,2,1,1,1,0,0,0,2",
    "8,1,,,,,,,,3",
]


@pytest.fixture(scope="module")
def truth() -> Drawn:
    return drawn()


@pytest.fixture(scope="module")
def oblong() -> Drawn:
    return drawn(seed=8, spacing=(0.7, 0.85), slices=7)


def written(
    folder: Path,
    name: str,
    truth: Drawn,
    order: tuple[int, int, int] = (2, 1, 0),
    flips: tuple[int, ...] = (),
    mask_flips: tuple[int, ...] | None = None,
) -> None:
    """Write one series and its mask, along the axes of sagittal files unless told."""
    write_metaimage(
        folder / "images" / f"{name}.mha",
        *stored(truth.volume.round().astype(np.int16), truth.affine, order, flips),
    )
    mask_flips = flips if mask_flips is None else mask_flips
    write_metaimage(folder / "masks" / f"{name}.mha", *stored(truth.labels, truth.affine, order, mask_flips))
    (folder / "radiological_gradings.csv").write_text("\n".join(GRADES) + "\n")


def only(folder: Path) -> LabelledScan:
    readings = read_all(spider_files(folder))
    assert not readings.unused
    (scan,) = readings.scans
    return scan


def test_bodies_lie_where_they_were_drawn(tmp_path: Path, truth: Drawn) -> None:
    written(tmp_path, "7_t2", truth)
    scan = only(tmp_path)
    assert (scan.subject, scan.source, scan.sequence) == ("spider-7", "SPIDER", "T2")
    assert scan.volume.shape == truth.volume.shape
    assert scan.volume.dtype == np.float32
    assert scan.slice_spacing == pytest.approx(5.0)
    assert [v.level for v in scan.vertebrae][-5:] == ["L1", "L2", "L3", "L4", "L5"]
    errors = errors_mm(scan, truth)
    # pixels of 0.8 mm; at the sides of the column a pedicle's stump may take a corner with it
    assert errors.mean() < 0.7
    assert np.percentile(errors, 97) < 1.5
    found = {(v.level, k) for v in scan.vertebrae for k in v.slices}
    wanted = {(level, k) for level, k in truth.quads if level.startswith("L")}
    assert len(wanted - found) < 0.1 * len(wanted)
    assert scan.open_above
    assert scan.open_below


@pytest.mark.parametrize(
    ("order", "flips", "mask_flips"),
    [
        ((0, 1, 2), (), (0, 2)),
        ((1, 0, 2), (0, 1), (0, 1)),
        ((2, 0, 1), (2,), (1,)),
        ((2, 1, 0), (0, 1, 2), ()),
    ],
)
def test_the_axes_of_the_files_make_no_difference(
    tmp_path: Path,
    truth: Drawn,
    order: tuple[int, int, int],
    flips: tuple[int, ...],
    mask_flips: tuple[int, ...],
) -> None:
    written(tmp_path / "a", "7_t1", truth)
    written(tmp_path / "b", "7_t1", truth, order, flips, mask_flips)
    one, other = only(tmp_path / "a"), only(tmp_path / "b")
    assert np.array_equal(one.volume, other.volume)
    assert [v.level for v in one.vertebrae] == [v.level for v in other.vertebrae]
    for a, b in zip(one.vertebrae, other.vertebrae, strict=True):
        assert a.slices == b.slices
        assert np.allclose(a.quads, b.quads)


def test_oblong_pixels_become_square(tmp_path: Path, oblong: Drawn) -> None:
    written(tmp_path, "7_t2", oblong)
    scan = only(tmp_path)
    assert scan.spacing_mm == pytest.approx(0.7)
    assert scan.volume.shape[1] == round(oblong.volume.shape[1] * 0.85 / 0.7)
    assert errors_mm(scan, oblong).mean() < 0.6


def test_slices_beside_the_column_show_none_and_cut_bodies_are_doubtful(tmp_path: Path, truth: Drawn) -> None:
    labels = truth.labels.copy()
    labels[:, :, :2] = 0
    # the upper edge cuts through L2
    top = int(truth.quads["L2", 4][:, 1].mean())
    cut = Drawn(
        truth.volume[top:],
        labels[top:],
        truth.affine,
        truth.spacing,
        {k: q - [0, top] for k, q in truth.quads.items()},
    )
    written(tmp_path, "7_t2", cut)
    scan = only(tmp_path)
    assert [v.level for v in scan.vertebrae] == ["L3", "L4", "L5"]
    assert scan.doubtful
    slices = list(scan.slices())
    assert slices[0].levels == ()
    assert not slices[0].counts()[0, int(cut.quads["L2", 4][:, 0].mean())]
    inside = next(s for s in slices if s.levels)
    x, y = inside.doubtful[0].mean(axis=0).astype(int)
    assert not inside.counts()[y, x]
    assert inside.counts()[tuple(inside.quads[0].mean(axis=0).astype(int)[::-1])]


def test_grades_are_those_of_the_patient(tmp_path: Path, truth: Drawn) -> None:
    written(tmp_path, "7_t2", truth)
    scan = only(tmp_path)
    assert scan.discs["L5-S1"] == {
        "pfirrmann": 3,
        "upper_marrow_change": 0,
        "lower_marrow_change": 0,
        "upper_endplate_defect": 0,
        "lower_endplate_defect": 1,
        "spondylolisthesis": 0,
        "herniation": 0,
    }
    assert scan.allowed["L5-S1"] == {"narrowing": (1, 2, 3)}
    # a Modic type of a disc is taken for both of its sides
    assert scan.discs["L4-L5"]["upper_marrow_change"] == scan.discs["L4-L5"]["lower_marrow_change"] == 1
    assert scan.discs["L4-L5"]["narrowing"] == 0
    assert scan.allowed["L4-L5"] == {"spondylolisthesis": (1, 2)}


def test_what_cannot_be_used_is_listed_and_the_others_go_on(tmp_path: Path, truth: Drawn) -> None:
    for name in ("7_t1", "7_t2", "8_t1", "9_t2", "10_t2"):
        written(tmp_path, name, truth)
    (tmp_path / "masks/7_t1.mha").unlink()
    write_metaimage(
        tmp_path / "masks/8_t1.mha", truth.labels[1:].transpose(2, 1, 0), truth.affine[:, [2, 1, 0, 3]]
    )
    moved = truth.affine.copy()
    moved[2, 3] += 30
    write_metaimage(tmp_path / "masks/9_t2.mha", truth.labels.transpose(2, 1, 0), moved[:, [2, 1, 0, 3]])
    blank = np.where(truth.labels == CANAL, 0, truth.labels)
    write_metaimage(tmp_path / "masks/10_t2.mha", blank.transpose(2, 1, 0), truth.affine[:, [2, 1, 0, 3]])
    readings = read_all(spider_files(tmp_path))
    assert [scan.name for scan in readings.scans] == ["images/7_t2.mha"]
    assert [(u.name, u.reason.split(",")[0]) for u in readings.unused] == [
        ("images/7_t1.mha", "7_t1.mha: no such file or directory"),
        (
            "images/8_t1.mha",
            "8_t1.mha has {} x {} x {} voxels and 8_t1.mha {} x {} x {}".format(
                truth.labels.shape[0] - 1, *truth.labels.shape[1:], *truth.labels.shape
            ),
        ),
        ("images/9_t2.mha", "9_t2.mha lies elsewhere in the patient than 9_t2.mha"),
        ("images/10_t2.mha", "10_t2.mha shows no spinal canal"),
    ]


def test_a_series_whose_header_is_wrong_is_named(tmp_path: Path, truth: Drawn) -> None:
    # the files say that rows run downwards, and they run upwards
    turned = Drawn(truth.volume[::-1], truth.labels[::-1], truth.affine, truth.spacing, {})
    written(tmp_path, "7_t2", turned)
    (unused,) = read_all(spider_files(tmp_path)).unused
    assert "7_t2.mha stands on its head" in unused.reason


def test_the_overview_chooses_subsets(tmp_path: Path, truth: Drawn) -> None:
    for name in ("7_t2", "8_t2"):
        written(tmp_path, name, truth)
    (tmp_path / "overview.csv").write_text("new_file_name,subset\n7_t2,training\n8_t2,validation\n")
    assert [f.subject for f in spider_files(tmp_path)] == ["spider-7", "spider-8"]
    assert [f.subject for f in spider_files(tmp_path, subsets=["validation"])] == ["spider-8"]
    (tmp_path / "overview.csv").write_text("name\n7_t2\n")
    with pytest.raises(LabelsError, match=r"overview\.csv has no column 'new_file_name'"):
        spider_files(tmp_path)


def test_a_folder_without_images_is_refused(tmp_path: Path, truth: Drawn) -> None:
    with pytest.raises(FileNotFoundError):
        spider_files(tmp_path)
    (tmp_path / "radiological_gradings.csv").write_text(GRADES[0] + "\n")
    with pytest.raises(LabelsError, match=r"has no images/\*\.mha"):
        spider_files(tmp_path)
