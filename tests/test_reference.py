"""Every golden file: what the published computation gave for given inputs."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from spinenet.anatomy import FINDINGS
from spinenet.inference.pipeline import label
from spinenet.networks.detector import Detector
from spinenet.networks.grading import GradingNetwork
from spinenet.networks.labelling import AppearanceNetwork, ContextNetwork
from spinenet.settings import Settings
from spinenet.stages.crops import disc_pairs, disc_volume, vertebra_volume
from spinenet.stages.grades import published_table
from spinenet.stages.grouping import group
from spinenet.stages.landmarks import corner_points, peaks, slice_quads
from spinenet.stages.levels import centroid_rows, context_image, decode, level_names
from spinenet.stages.windows import cut_patch, tile
from spinenet.types import DiscGrade, Scan, Vertebra, Window
from spinenet.weights.networks import Networks
from support.golden_cases import (
    Array,
    assert_samples,
    each_case,
    formula_input,
    formula_scan,
    load,
    rendered_responses,
    with_formula_weights,
)

PARTS: dict[str, type[nn.Module]] = {
    "detector": Detector,
    "appearance": AppearanceNetwork,
    "context": ContextNetwork,
    "grading": GradingNetwork,
}
QUAD_TOLERANCE_PX = 1e-5
TIE_PX = 1e-9


@pytest.mark.parametrize("name", PARTS)
def test_network(name: str) -> None:
    case = load("networks")[name]
    network = with_formula_weights(PARTS[name]())
    shapes = {key: list(value.shape) for key, value in network.state_dict().items()}
    assert list(shapes.items()) == list(case["state_dict"].items())
    with torch.inference_mode():
        outputs = network(formula_input(case["input_shape"]))
    if isinstance(outputs, torch.Tensor):
        outputs = (outputs,)
    assert len(outputs) == len(case["outputs"])
    for output, expected in zip(outputs, case["outputs"], strict=True):
        assert_samples(output.numpy(), expected, 1e-5)


@each_case("tiling")
def test_tiling(case: dict[str, Any]) -> None:
    windows, scale_edge = tile(case["height"], case["width"], case["pixel_spacing_mm"])
    assert [[w.left, w.top, w.width, w.height] for w in windows] == case["windows_x_y_width_height"]
    assert scale_edge == case["scale_edge"]


@each_case("patches")
def test_patches(case: dict[str, Any]) -> None:
    shape = case["height"], case["width"], case["slices"]
    constant = case.get("constant_scan")
    volume = formula_scan(*shape, case["phase"]) if constant is None else np.full(shape, constant, np.float32)
    windows, _ = tile(case["height"], case["width"], case["pixel_spacing_mm"])
    patches = np.stack([[cut_patch(image, w) for w in windows] for image in np.moveaxis(volume, 2, 0)])
    assert_samples(patches, case["patches_slice_patch_row_col"], 1e-6)


@each_case("peaks")
def test_peaks(case: dict[str, Any]) -> None:
    heat = np.asarray(case["heat"], dtype=np.float32)
    alone, again = peaks(np.stack((heat, heat)), case["threshold"])
    assert alone.tolist() == again.tolist() == case["points_row_col"]


@each_case("slice_detections")
def test_slice_detections(case: dict[str, Any]) -> None:
    windows, scale_edge = tile(case["height"], case["width"], case["pixel_spacing_mm"])
    shape = case["height"], case["width"]
    records = zip(
        case["true_quads_xy_per_slice"],
        case["centroids_row_col_per_slice"],
        case["quads_xy_per_slice"],
        strict=True,
    )
    for true_quads, centroids, quads in records:
        responses = rendered_responses(windows, np.asarray(true_quads))
        assert_slice(responses, windows, scale_edge, shape, centroids, quads)


@each_case("slice_detections_special")
def test_slice_detections_special(case: dict[str, Any]) -> None:
    windows, scale_edge = tile(case["height"], case["width"], case["pixel_spacing_mm"])
    responses = rendered_responses(
        windows, np.asarray(case["true_quads_xy"]), case["changes_to_rendered_maps"]
    )
    shape = case["height"], case["width"]
    assert_slice(responses, windows, scale_edge, shape, case["centroids_row_col"], case["quads_xy"])


def assert_slice(
    responses: Array,
    windows: tuple[Window, ...],
    scale_edge: int,
    shape: tuple[int, int],
    centroids: list[list[int]],
    quads: list[Any],
) -> None:
    """Compare one slice's landmarks; either of two corners whose distances tie is right."""
    found_centroids, found = slice_quads(responses, windows, scale_edge, shape)
    assert found_centroids.tolist() == centroids
    assert len(found) == len(quads)
    corners = corner_points(responses, windows, scale_edge)
    for actual, expected in zip(found, quads, strict=True):
        for k in range(4):
            if np.abs(actual[k] - expected[k]).max() < QUAD_TOLERANCE_PX:
                continue
            points, arrows = corners[k]
            distance = np.linalg.norm((points + arrows)[:, None] - np.array(centroids)[:, ::-1], axis=2)
            tied = points[(distance - distance.min(axis=0) < TIE_PX).any(axis=1)]
            assert np.abs(tied - expected[k]).max(axis=1).min() < QUAD_TOLERANCE_PX


@each_case("grouping")
def test_grouping(case: dict[str, Any]) -> None:
    vertebrae = group([np.asarray(quads).reshape(-1, 4, 2) for quads in case["quads_xy_per_slice"]])
    expected = case["vertebrae_top_down"]
    assert [list(v.slices) for v in vertebrae] == [record["slice_nos"] for record in expected]
    for vertebra, record in zip(vertebrae, expected, strict=True):
        np.testing.assert_allclose(vertebra.quads, record["quads_xy"], rtol=0, atol=1e-9)
        np.testing.assert_allclose(vertebra.mean_quad, record["mean_quad_xy"], rtol=0, atol=QUAD_TOLERANCE_PX)


@each_case("vertebra_volumes")
def test_vertebra_volumes(case: dict[str, Any]) -> None:
    volume = formula_scan(case["height"], case["width"], case["slices"], case["phase"])
    records = zip(
        case["mean_quads_xy"],
        case["published_behaviour_not_wanted"],
        case["volumes_row_col_slice"],
        strict=True,
    )
    for quad, not_wanted, expected in records:
        actual = vertebra_volume(volume, np.asarray(quad))
        if not_wanted:
            np.testing.assert_allclose(
                actual, whole_scan_vertebra_volume(volume, np.asarray(quad)), atol=1e-4
            )
        else:
            assert_samples(actual, expected, 1e-4)


def whole_scan_vertebra_volume(volume: Array, quad: Array) -> Array:
    """A vertebra volume by turning the whole scan and adding zeros all around it before cropping."""
    (dx, dy), middle = quad[0] - quad[3], (quad[0] + quad[3]) / 2
    angle = np.degrees(np.tanh(dy / dx) if dx else np.sign(dy))
    matrix = cv2.getRotationMatrix2D([float(v) for v in middle], angle, 1)
    size = volume.shape[1::-1]
    turned_scan = np.stack(
        [
            cv2.warpAffine(image.copy(), matrix, size, flags=cv2.INTER_CUBIC)
            for image in np.moveaxis(volume, 2, 0)
        ]
    )
    turned = quad @ matrix[:, :2].T + matrix[:, 2]
    edge = np.ptp(turned, axis=0).max()
    left, top = (int(v) for v in turned[3] - edge)
    right, bottom = int(left + 3 * edge), int(top + 3 * edge)
    margin = 2 * max(volume.shape)
    padded = np.pad(turned_scan, ((0, 0), (margin, margin), (margin, margin)))
    crop = padded[:, top + margin : bottom + margin, left + margin : right + margin].astype(np.float64)
    assert (crop[:, -1] == 0).all() or (crop[:, :, 0] == 0).all() or (crop[:, :, -1] == 0).all()
    images = torch.nn.functional.interpolate(torch.from_numpy(crop)[None], size=(224, 224), mode="bicubic")[0]
    padded_slices = np.concatenate((images.numpy(), images.numpy()[-1:]))
    slices = np.arange(16) * len(crop) / 16
    below, share = np.floor(slices).astype(int), (slices % 1)[:, None, None]
    result = padded_slices[below] * (1 - share) + padded_slices[below + 1] * share
    return np.moveaxis((result - result.min()) / (np.percentile(result, 95) + 1e-6), 0, 2)


@each_case("context_image")
def test_context_image(case: dict[str, Any]) -> None:
    quads = [np.asarray(quad) for quad in case["mean_quads_xy"]]
    height, spacing = case["height"], case["pixel_spacing_mm"]
    image = context_image(height, spacing, quads, case["appearance_probabilities"])
    assert int(height * spacing) == case["image_height"]
    assert len(image) % 256 == 0
    assert len(image) - 256 < case["image_height"] <= len(image)
    assert np.flatnonzero(image.any(axis=1)).tolist() == case["rows_written"]
    np.testing.assert_allclose(
        image[case["rows_written"], 0], case["row_values_first_column"], rtol=0, atol=1e-7
    )
    rows = centroid_rows(height, spacing, quads)
    assert rows.tolist() == [int(row) for row in case["centroid_rows"]]


@each_case("level_decoding")
def test_level_decoding(case: dict[str, Any]) -> None:
    levels, cost = decode(case["probabilities"], skip_penalty=bool(case["penalise_skips"]))
    assert list(levels) == case["levels"]
    assert cost == pytest.approx(case["score"], rel=1e-6, abs=1e-6)
    assert list(level_names(levels)) == case["names"]


@pytest.fixture(scope="module")
def labelling_networks() -> Networks:
    """Labelling networks under formula weights; the other two are not used."""
    return Networks(
        detector=nn.Identity(),
        appearance=with_formula_weights(AppearanceNetwork()),
        context=with_formula_weights(ContextNetwork()),
        grading=nn.Identity(),
    )


@each_case("levels_end_to_end")
def test_levels_end_to_end(case: dict[str, Any], labelling_networks: Networks) -> None:
    volume = formula_scan(case["height"], case["width"], case["slices"], case["phase"])
    spacing = case["pixel_spacing_mm"]
    vertebrae = [Vertebra((0,), np.asarray([quad])) for quad in case["mean_quads_xy_top_down"]]
    volumes = np.stack([vertebra_volume(volume, v.mean_quad) for v in vertebrae])[:, None]
    with torch.inference_mode():
        logits = labelling_networks.appearance(torch.from_numpy(volumes)).numpy()
    np.testing.assert_allclose(logits, case["appearance_logits"], rtol=0, atol=1e-5)
    image = context_image(case["height"], spacing, [v.mean_quad for v in vertebrae], logits)
    assert len(image) == case["context_input_rows"]
    scan = Scan(volume, (spacing, spacing), 4.0)
    labelled = label(scan, vertebrae, labelling_networks, Settings())
    assert [v.level for v in labelled] == case["names"]
    np.testing.assert_allclose(
        np.array([v.level_probabilities for v in labelled]), case["level_probabilities"], rtol=0, atol=1e-7
    )


@each_case("disc_volumes")
def test_disc_volumes(case: dict[str, Any]) -> None:
    volume = formula_scan(case["height"], case["width"], case["slices"], case["phase"])
    if region := case.get("scan_region_times"):
        volume[slice(*region["rows"]), slice(*region["columns"])] *= region["times"]
    bottom_up = [
        Vertebra(tuple(record["slice_nos"]), np.asarray(record["quads_xy"]), record["level"])
        for record in case["vertebrae"]
    ]
    assert [v.mid_slice for v in bottom_up] == case["mid_slices_bottom_up"]
    pairs = disc_pairs(tuple(reversed(bottom_up)))[::-1]
    assert [pair.level for pair in pairs] == case["disc_names_bottom_up"]
    for pair, expected in zip(pairs, case["discs_bottom_up_slice_row_col"], strict=True):
        assert_samples(disc_volume(volume, pair.below, pair.above), expected, 1e-4)


def test_grades_table() -> None:
    case = load("grades_table")
    rows = case["table_rows"]
    bottom_up = []
    for i, level in enumerate(reversed(rows)):
        one_hot = {
            f.name: np.eye(f.n_classes)[case["argmax_bottom_up"][f.published_name][i]] for f in FINDINGS
        }
        bottom_up.append(DiscGrade(level, 0, one_hot))
    names, columns, values = published_table(bottom_up[::-1])
    assert list(names) == rows
    assert list(columns) == case["table_columns"]
    assert values.tolist() == case["table_values"]
