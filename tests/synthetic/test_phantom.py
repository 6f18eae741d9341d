"""Synthetic spines: the same for the same seed, in order, their findings where they are said to be."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest

from spinenet.anatomy import FINDINGS, LEVEL_INDEX, LEVELS
from spinenet.geometry import iou
from spinenet.synthetic.anatomy import sample_spine
from spinenet.synthetic.findings import (
    HEIGHT_FACTOR,
    PFIRRMANN_PREVALENCE,
    SAC_FACTOR,
    SLIP_FACTOR,
    sample_findings,
)
from spinenet.synthetic.image import (
    KINDS,
    SEQUENCES,
    Subject,
    render,
    render_slice,
    sample_subject,
    slice_rng,
    true_vertebrae,
)


def with_finding(subject: Subject, disc: str, **classes: int) -> Subject:
    """The same subject with other classes of one disc, named by its caudal vertebra."""
    before = subject.spine.discs[disc]
    after = dataclasses.replace(before, classes={**before.classes, **classes})
    spine = dataclasses.replace(subject.spine, discs={**subject.spine.discs, disc: after})
    return dataclasses.replace(subject, spine=spine)


@pytest.mark.parametrize(("kind", "sequence"), list(zip(KINDS, SEQUENCES, strict=True)))
def test_same_seed_same_scan(kind: str, sequence: str) -> None:
    first, second = render(5, kind=kind, sequence=sequence), render(5, kind=kind, sequence=sequence)
    np.testing.assert_array_equal(first.scan.volume, second.scan.volume)
    assert first.discs == second.discs
    assert not np.array_equal(first.scan.volume, render(6, kind=kind, sequence=sequence).scan.volume)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(6))
def test_vertebrae_are_in_order_and_apart(kind: str, seed: int) -> None:
    vertebrae = true_vertebrae(sample_subject(np.random.default_rng(seed), kind=kind))
    indices = [LEVEL_INDEX[v.level] for v in vertebrae]
    assert indices == sorted(indices, reverse=True)
    quads = [v.quads.mean(axis=0) for v in vertebrae]
    for quad in quads:
        (rt, rb, lb, lt) = quad
        assert rt[0] > lt[0]
        assert rb[0] > lb[0]
        assert rt[1] < rb[1]
        assert lt[1] < lb[1]
    assert max(iou(a, b) for a, b in pairwise(quads)) < 0.05


@pytest.mark.parametrize(
    ("kind", "anchor"), [("lumbar", "S1"), ("cervical", "C2"), ("whole", "S1"), ("whole", "C2")]
)
def test_field_of_view_holds_its_anchor(kind: str, anchor: str) -> None:
    for seed in range(8):
        vertebrae = true_vertebrae(sample_subject(np.random.default_rng(seed), kind=kind))
        assert {v.level: v.share_in_view for v in vertebrae}[anchor] > 0.9


def test_bodies_are_marrow_inside_their_quads() -> None:
    subject = sample_subject(np.random.default_rng(3), kind="lumbar", sequence="T1")
    middle = subject.acquisition.slices // 2
    image = render_slice(subject, middle, slice_rng(3, middle)) / subject.acquisition.gain
    for vertebra in true_vertebrae(subject):
        if vertebra.share_in_view == 1 and middle in vertebra.slices:
            x, y = vertebra.quads[vertebra.slices.index(middle)].mean(axis=0)
            patch = image[int(y) - 4 : int(y) + 5, int(x) - 4 : int(x) + 5]
            assert 0.4 < np.median(patch) / subject.tissues.marrow < 2.5


def test_slices_can_be_drawn_alone() -> None:
    phantom = render(8)
    subject = sample_subject(np.random.default_rng([8, 3]))
    alone = render_slice(subject, 4, slice_rng(8, 4))
    np.testing.assert_array_equal(np.clip(np.round(alone), 0, 4095), phantom.scan.volume[:, :, 4])


@pytest.mark.parametrize("side", ["left", "right"])
def test_foraminal_stenosis_is_drawn_on_its_side_only(side: str) -> None:
    subject = sample_subject(np.random.default_rng(12))
    none = {"foraminal_stenosis_left": 0, "foraminal_stenosis_right": 0}
    clear = with_finding(subject, "L5", **none)
    narrowed = with_finding(subject, "L5", **{**none, f"foraminal_stenosis_{side}": 1})
    a, centre = subject.acquisition, subject.spine.body("L5").centre[0]
    changed = []
    for k in range(a.slices):
        difference = render_slice(clear, k, slice_rng(1, k)) - render_slice(narrowed, k, slice_rng(1, k))
        if np.abs(difference).max() > 1e-3:
            changed.append(a.origin[2] + k * a.slice_spacing - centre)
    assert changed
    sign = 1 if side == "left" else -1
    assert all(sign * x > 0 for x in changed)


@pytest.mark.parametrize("name", [f.name for f in FINDINGS if not f.ordinal])
def test_every_binary_finding_changes_the_image_near_its_disc(name: str) -> None:
    subject = sample_subject(np.random.default_rng(21))
    without, present = with_finding(subject, "L4", **{name: 0}), with_finding(subject, "L4", **{name: 1})
    a = subject.acquisition
    lower, upper = subject.spine.body("L4"), subject.spine.body("L3")
    z = (lower.centre[2] + upper.centre[2]) / 2
    total = np.zeros(a.rows)
    for k in range(a.slices):
        difference = render_slice(without, k, slice_rng(1, k)) - render_slice(present, k, slice_rng(1, k))
        total += np.abs(difference).sum(axis=1)
    rows = np.flatnonzero(total > 1e-3) * a.pixel_spacing[0] + a.origin[1]
    assert len(rows)
    assert rows.min() > z - 35
    assert rows.max() < z + 35


def test_prevalences_and_sizes_follow_the_tables() -> None:
    rng = np.random.default_rng(0)
    drawn = [sample_findings(rng, lumbar=True, balance=0.0) for _ in range(4000)]
    grades = np.bincount([d.classes["pfirrmann"] for d in drawn], minlength=5) / len(drawn)
    np.testing.assert_allclose(grades, PFIRRMANN_PREVALENCE, atol=0.03)
    for d in drawn:
        for value, table, name in (
            (d.height_factor, HEIGHT_FACTOR, "narrowing"),
            (d.sac_factor, SAC_FACTOR, "central_canal_stenosis"),
            (d.slip_factor, SLIP_FACTOR, "spondylolisthesis"),
        ):
            low, high = table[d.classes[name]]
            assert low <= value <= high
    assert all(d.classes["central_canal_stenosis"] > 0 for d in drawn if d.classes["herniation"])


def test_slip_moves_the_upper_body_forward() -> None:
    for seed in range(200):
        spine = sample_spine(np.random.default_rng(seed), balance=1.0)
        slipped = [d for d, f in spine.discs.items() if f.classes["spondylolisthesis"] == 2]
        for level in slipped:
            i = next(k for k, b in enumerate(spine.bodies) if b.level == level)
            lower, upper = spine.bodies[i], spine.bodies[i + 1]
            wall = upper.place(upper.depth / 2, -upper.height / 2) - lower.place(
                lower.depth / 2, lower.height / 2
            )
            assert float(wall @ lower.back) < -0.12 * lower.depth


def test_fractures_change_nothing_but_the_bodies_that_are_fractured() -> None:
    whole, broken = render(11), render(11, fractures=0.3)
    fractured = [v.level for v in broken.vertebrae if v.fractured]
    assert 3 <= len(fractured) <= 10
    assert not any(v.fractured for v in whole.vertebrae)
    assert set(fractured) <= {level for level in LEVELS if level[0] in "TL"}
    for before, after in zip(whole.vertebrae, broken.vertebrae, strict=True):
        assert (before.level, before.slices) == (after.level, after.slices)
        assert np.array_equal(before.quads, after.quads) != after.fractured
        rt, rb, lb, lt = after.quads.mean(axis=0)
        wedged = np.linalg.norm(lb - lt) < 0.85 * np.linalg.norm(rb - rt)
        assert wedged == after.fractured or after.level == "S1"
    assert broken.discs == whole.discs
    same = whole.scan.volume == broken.scan.volume
    assert 0.8 < same.mean() < 1
