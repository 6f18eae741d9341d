"""Training samples of labelled scans lie where the labels say, and nobody is on two sides."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from spinenet.anatomy import LEVELS
from spinenet.errors import LabelsError, RecipeError
from spinenet.training.labels.files import LabelledFile
from spinenet.training.labels.labelled import LabelledScan
from spinenet.training.outlined import Outlined, Shelf, detector_samples
from spinenet.training.recipe import Augmentation, parse_recipe
from spinenet.training.samples import DiscSample, PatchSample, VertebraSample, batch_of
from spinenet.training.sources import open_sources
from spinenet.types import Vertebra

ROWS, COLUMNS = 300, 280
BODIES = {"L3": 60, "L4": 105, "L5": 150}
"""First row of each bright body."""


def column(slices: int = 1, subject: str = "one") -> LabelledScan:
    """Bright bodies of 30 rows and 40 columns in the dark; nobody looked above L3 or below L5."""
    volume = np.full((ROWS, COLUMNS, slices), 20, np.float32)
    vertebrae = []
    for level, top in BODIES.items():
        volume[top : top + 31, 100:141] = 200
        quad = np.array([[140, top], [140, top + 30], [100, top + 30], [100, top]], float)
        vertebrae.append(Vertebra(tuple(range(slices)), np.repeat(quad[None], slices, 0), level))
    return LabelledScan(
        volume=volume,
        spacing_mm=0.9,
        slice_spacing=4.0,
        vertebrae=tuple(vertebrae),
        open_above=True,
        open_below=True,
        subject=subject,
        source="made up",
        discs={"L4-L5": {"pfirrmann": 3, "herniation": 1}},
    )


def source(network: str, *scans: LabelledScan, **strengths: Any) -> Outlined:
    files = {
        scan.subject: [LabelledFile(scan.subject, scan.subject, "made up", _Read(scan))] for scan in scans
    }
    return Outlined(network, files, (), "", Augmentation(**strengths))


class _Read:
    def __init__(self, scan: LabelledScan) -> None:
        self.scan = scan

    def __call__(self) -> LabelledScan:
        return self.scan


def equal(one: Any, two: Any) -> bool:
    return bool(np.array_equal(one.image, two.image))


def test_quads_stay_on_their_bodies_in_every_pose() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        for patch in detector_samples(column(), rng, Augmentation(pose=True)):
            assert patch.counts is not None
            bright = np.asarray(patch.image, np.float32) > 0.5
            for quad in patch.quads:
                inside = np.zeros(bright.shape, np.uint8)
                middle = quad.mean(axis=0)
                smaller = middle + 0.8 * (quad - middle)
                cv2.fillPoly(inside, [np.round(smaller).astype(np.int32)], 1)
                if inside.sum() > 50:
                    assert bright[inside > 0].mean() > 0.95
            covered = np.zeros(bright.shape, np.uint8)
            cv2.fillPoly(covered, [np.round(quad).astype(np.int32) for quad in patch.quads], 1)
            around = cv2.dilate(covered, np.ones((7, 7), np.uint8)) > 0
            assert bright[~around].mean() < 0.01


def test_what_lies_beyond_the_outlined_bodies_does_not_count() -> None:
    patches = list(detector_samples(column(), np.random.default_rng(1), Augmentation()))
    assert patches
    for patch in patches:
        assert patch.counts is not None
        first, last = patch.quads[0], patch.quads[-1]
        assert not patch.counts[: int(first[:, 1].min()) - 20].any()
        assert not patch.counts[int(last[:, 1].max()) + 20 :].any()
        assert patch.counts[int(first[:, 1].min()) : int(last[:, 1].max())].all()


@pytest.mark.parametrize("network", ["detector", "appearance", "grading"])
@pytest.mark.parametrize("slices", [1, 7])
def test_a_draw_depends_on_its_number_alone(network: str, slices: int) -> None:
    strengths = {"pose": True, "contrast": 0.7, "gain": 0.1, "noise": 0.02}
    one = source(network, column(slices), column(slices, "two"), **strengths)
    other = pickle.loads(pickle.dumps(one))
    list(other.draw(3))
    for number in range(4):
        first, again = list(one.draw(number)), list(other.draw(number))
        assert first
        assert all(map(equal, first, again))
    assert not equal(next(iter(one.draw(0))), next(iter(one.draw(1))))
    assert batch_of(network, list(one.draw(0)))


def test_vertebrae_have_their_levels_and_discs_their_grades() -> None:
    vertebrae = list(source("appearance", column()).draw(0))
    assert [LEVELS[v.level] for v in vertebrae if isinstance(v, VertebraSample)] == list(BODIES)
    grading = source("grading", column(9))
    (disc,) = grading.draw(0)
    assert isinstance(disc, DiscSample)
    assert disc.classes[0] == 3
    assert disc.classes[-1] == 1
    assert (disc.classes[1:-1] == -1).all()
    assert grading.class_counts == {"pfirrmann": [0, 0, 0, 1, 0], "herniation": [0, 1]}


def test_a_file_that_cannot_be_used_gives_nothing_and_stops_nobody() -> None:
    def refuse() -> LabelledScan:
        raise LabelsError("it is broken")

    bad = LabelledFile("bad", "two", "made up", refuse)
    good = source("appearance", column())
    both = replace(good, files={**good.files, "two": [bad]})
    counts = [len(list(both.draw(number))) for number in range(12)]
    assert set(counts) == {0, 3}


def test_the_shelf_keeps_no_more_than_it_may() -> None:
    scan = column()
    shelf, read = Shelf(scan.volume.nbytes), list[str]()

    def file(name: str) -> LabelledFile:
        def reading() -> LabelledScan:
            read.append(name)
            return scan

        return LabelledFile(name, name, "made up", reading)

    one, two = file("one"), file("two")
    for _ in range(2):
        shelf.read(one)
        shelf.read(two)
    assert read == ["one", "two", "two"]


RECIPE = """
network = "appearance"
steps = 1
batch = 2
learning_rate = 1e-3
architecture = {}
[[sources]]
kind = "polygons"
path = "%s"
options = { source = "drawn", spacing_mm = 0.9, split = { train = 0.5, develop = 0.5, test = 0.0%s } }
"""


@pytest.fixture
def listing(tmp_path: Path) -> Path:
    lines = []
    for k in range(10):
        cv2.imwrite(str(tmp_path / f"{k}.png"), column().volume[:, :, 0].astype(np.uint8))
        polygons = ", ".join(
            f'"{level}": [[140, {top}], [140, {top + 30}], [100, {top + 30}], [100, {top}]]'
            for level, top in BODIES.items()
        )
        lines.append(f'{{"image": "{k}.png", "subject": "p{k // 2}", "polygons": {{{polygons}}}}}')
    path = tmp_path / "polygons.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def opened(text: str) -> Outlined:
    (made,) = open_sources(parse_recipe(text, "here"))
    assert isinstance(made, Outlined)
    return made


def test_a_recipe_opens_polygons_and_splits_them_by_subject(listing: Path) -> None:
    made = opened(RECIPE % (listing, ""))
    held = {file.subject for file in made.kept_back}
    assert held
    assert made.files
    assert held.isdisjoint(made.files)
    assert len(held) + len(made.files) == 5
    (first, *_) = made.held_out()
    assert isinstance(first, VertebraSample)


def test_a_recipe_says_whom_to_keep_back(listing: Path) -> None:
    said = ', subjects = { develop = ["p0"], test = ["p1", "p2"], train = ["p3", "p4"] }'
    made = opened(RECIPE % (listing, said))
    assert set(made.files) == {"p3", "p4"}
    assert {file.subject for file in made.kept_back} == {"p0"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("0.9", "-1"), None),
        (("source =", "sauce ="), "source: Field required"),
        (('path = "%s"', ""), "needs a path"),
        (("train = 0.5", "train = 0.9"), "shares of a split"),
        (('"appearance"', '"context"'), "context network"),
        (("[[sources]]", "[augmentation]\ncontrasts = 1\n[[sources]]"), "contrasts"),
        (('"%s"', '"/nowhere/list.jsonl"'), "list.jsonl"),
    ],
)
def test_a_source_that_does_not_fit_is_refused_in_a_sentence(
    listing: Path, change: tuple[str, str], sentence: str | None
) -> None:
    text = RECIPE.replace(*change)
    text = text % ((listing, "") if '"%s"' in text else ("",))
    if sentence is None:
        # a spacing is looked at when its picture is read: the others go on
        assert not list(opened(text).draw(0))
        return
    with pytest.raises(RecipeError, match=sentence) as refused:
        opened(text)
    assert "\n" not in str(refused.value)


def test_drawn_spines_of_any_contrast_have_the_same_bodies() -> None:
    plain, unlike = (
        list(
            open_sources(
                parse_recipe(
                    f"""
                    network = "detector"
                    steps = 1
                    batch = 1
                    learning_rate = 1e-3
                    architecture = {{}}
                    augmentation = {{ {strengths} }}
                    sources = [{{ kind = "drawn" }}]
                    """,
                    "here",
                )
            )[0].draw(7)
        )
        for strengths in ("", "tissues = 1")
    )
    assert all(isinstance(patch, PatchSample) and patch.counts is None for patch in unlike)
    assert not any(map(equal, plain, unlike))
    assert sum(len(patch.quads) for patch in unlike if isinstance(patch, PatchSample)) > 0
