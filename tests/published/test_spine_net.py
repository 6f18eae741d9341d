"""The published package's class and functions: layouts, orders, replaced networks, and nothing to find."""

from __future__ import annotations

import ast
import csv
import logging
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import spinenet
from flows.cli.weights import weights_app
from spinenet.anatomy import FINDINGS
from spinenet.errors import ScanError, WeightsError
from spinenet.networks.detector import Detector
from spinenet.networks.grading import GradingNetwork
from spinenet.networks.labelling import AppearanceNetwork, ContextNetwork
from spinenet.published import spine_net
from spinenet.stages.windows import tile
from spinenet.synthetic.dicom import write_series
from spinenet.types import Scan
from spinenet.weights.release import SPINENET_V2
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
from support.local_server import serve
from support.tiny_networks import tiny_bundle, write_checkpoint

COLUMNS = [finding.published_name for finding in FINDINGS]
SLICES = 3


class PerfectDetector(nn.Module):
    """Answers with the responses rendered for one slice's windows, slice after slice."""

    def __init__(self, height: int, width: int, spacing: float, quads: Array) -> None:
        super().__init__()
        windows = list(dict.fromkeys(tile(height, width, spacing)[0]))
        self.responses = torch.from_numpy(rendered_responses(windows, quads))
        self.seen = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        places = [(self.seen + k) % len(self.responses) for k in range(len(x))]
        self.seen += len(x)
        return self.responses[places]


class FixedGrades(nn.Module):
    """Gives every disc of a batch its own row of fixed logits."""

    def __init__(self, argmax: list[list[int]]) -> None:
        super().__init__()
        self.argmax = argmax

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        assert x.shape[1:] == (1, 9, 112, 224)
        rows = [self.argmax.pop(0) for _ in range(len(x))]
        return tuple(
            torch.stack([torch.eye(finding.n_classes)[row[k]] for row in rows])
            for k, finding in enumerate(FINDINGS)
        )


class Nothing(nn.Module):
    """A detector that responds nowhere."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(x), 13, 224, 224)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> spine_net.SpineNet:
    folder = tiny_bundle(tmp_path_factory.mktemp("weights") / "bundle")
    return spine_net.SpineNet(device="cpu", verbose=False, weights=folder)


@pytest.fixture
def spine() -> Array:
    """(5, 4, 2) quads, rt rb lb lt, cranial to caudal, in a square scan of 300 x 300 pixels of 1 mm."""
    tops = 40 + 45 * np.arange(5)
    return np.array([[(170, t), (172, t + 30), (128, t + 30), (130, t)] for t in tops], dtype=np.float64)


def detect(reader: spine_net.SpineNet, spine: Array, volume: Array, spacing: Any) -> list[spine_net.VertDict]:
    reader.detection_model = PerfectDetector(300, 300, 1.0, spine)
    return reader.detect_vb(volume, spacing)


class TestDetect:
    def test_published_layout(self, reader: spine_net.SpineNet, spine: Array) -> None:
        found = detect(reader, spine, formula_scan(300, 300, SLICES, 0.0), 1.0)
        assert len(found) == len(spine)
        for vert, quad in zip(found, spine, strict=True):
            assert set(vert) == {"predicted_label", "slice_nos", "polys", "average_polygon"}
            assert vert["slice_nos"] == list(range(SLICES))
            assert len(vert["polys"]) == SLICES
            np.testing.assert_allclose(vert["average_polygon"], quad, atol=1.2)  # a patch pixel is 1.16 px
        assert len({vert["predicted_label"] for vert in found}) >= len(found) - 1

    @pytest.mark.parametrize("spacing", [1, (1.0, 1.0), ["1.0", "1.0"], np.array([1.0, 1.0])])
    def test_spacing_as_a_number_or_a_pair(
        self, reader: spine_net.SpineNet, spine: Array, spacing: Any
    ) -> None:
        assert len(detect(reader, spine, formula_scan(300, 300, 2, 0.0), spacing)) == len(spine)

    def test_pixels_that_are_not_square(self, reader: spine_net.SpineNet, spine: Array) -> None:
        volume = formula_scan(150, 300, SLICES, 0.0)
        found = detect(reader, spine, volume, (2.0, 1.0))
        for vert, quad in zip(found, spine, strict=True):
            wanted = np.stack((quad[:, 0], (quad[:, 1] + 0.5) / 2 - 0.5), axis=1)
            np.testing.assert_allclose(vert["average_polygon"], wanted, atol=1.0)
        for vert, name in zip(found, ["L1", "L2", "L3", "L4", "L5"], strict=True):
            vert["predicted_label"] = name
        remembered = reader.get_ivds_from_vert_dicts(found, volume)
        told = reader.get_ivds_from_vert_dicts([dict(v) for v in found], volume, pixel_spacing=(2.0, 1.0))
        square = reader.get_ivds_from_vert_dicts([dict(v) for v in found], volume)
        assert np.array_equal(remembered[0]["volume"], told[0]["volume"])
        assert not np.array_equal(remembered[0]["volume"], square[0]["volume"])

    def test_one_slice_can_be_kept(self, reader: spine_net.SpineNet, spine: Array) -> None:
        volume = formula_scan(300, 300, 1, 0.0)
        assert detect(reader, spine, volume, 1.0) == []
        reader.detection_model = PerfectDetector(300, 300, 1.0, spine)
        assert len(reader.detect_vb(volume, 1.0, remove_single_slice_detections=False)) == len(spine)

    def test_debug_tells_each_vertebra(
        self, reader: spine_net.SpineNet, spine: Array, caplog: pytest.LogCaptureFixture
    ) -> None:
        reader.detection_model = PerfectDetector(300, 300, 1.0, spine)
        with caplog.at_level(logging.INFO, "spinenet"):
            told = reader.detect_vb(formula_scan(300, 300, 2, 0.0), 1.0, debug=True)
        assert len(caplog.records) == 1 + len(spine)
        assert isinstance(told, tuple)
        assert len(told) == 9
        assert [set(vert) for vert in told[0]] == [set(told.vert_dicts[0])] * len(spine)

    def test_integers_are_read_as_stored(self, reader: spine_net.SpineNet, spine: Array) -> None:
        real = np.round(formula_scan(300, 300, SLICES, 0.0) * 3)
        stored = real.astype(np.uint16)
        found = detect(reader, spine, stored, pixel_spacing := 1.0)
        for vert, name in zip(found, ["L1", "L2", "L3", "L4", "L5"], strict=True):
            vert["predicted_label"] = name
        discs = [reader.get_ivds_from_vert_dicts(found, volume, pixel_spacing) for volume in (real, stored)]
        for first, second in zip(*discs, strict=True):
            assert 0 < np.abs(first["volume"] - second["volume"]).max() < 2e-3
        # what OpenCV does not warp is the same scan as floats
        for kind in (np.int32, np.int64, np.float64):
            again = reader.get_ivds_from_vert_dicts(found, real.astype(kind), pixel_spacing)
            assert all(np.array_equal(a["volume"], b["volume"]) for a, b in zip(again, discs[0], strict=True))

    def test_nothing_found_is_an_empty_result(self, reader: spine_net.SpineNet) -> None:
        reader.detection_model = Nothing()
        volume = formula_scan(200, 180, 2, 0.0)
        assert reader.detect_vb(volume, 1.0) == []
        assert reader.get_ivds_from_vert_dicts([], volume) == []
        table = reader.grade_ivds([])
        assert list(table.columns) == COLUMNS
        assert len(table) == 0

    @pytest.mark.parametrize("spacing", [0, -1.0, (1.0, 1.0, 1.0), float("nan")])
    def test_spacing_that_is_none(self, reader: spine_net.SpineNet, spacing: Any) -> None:
        with pytest.raises(ValueError, match="pixel_spacing is a positive number"):
            reader.detect_vb(np.zeros((64, 64, 2)), spacing)

    def test_volume_that_is_none(self, reader: spine_net.SpineNet) -> None:
        with pytest.raises(ValueError, match="not 2 dimensions"):
            reader.detect_vb(np.zeros((64, 64)), 1.0)


class TestDiscs:
    @each_case("disc_volumes")
    def test_volumes_caudal_first(self, reader: spine_net.SpineNet, case: dict[str, Any]) -> None:
        volume = formula_scan(case["height"], case["width"], case["slices"], case["phase"])
        if region := case.get("scan_region_times"):
            volume[slice(*region["rows"]), slice(*region["columns"])] *= region["times"]
        verts = [
            {"predicted_label": v["level"], "slice_nos": v["slice_nos"], "polys": v["quads_xy"]}
            for v in case["vertebrae"]
        ]
        discs = reader.get_ivds_from_vert_dicts(verts, volume)
        assert [disc["level_name"] for disc in discs] == case["disc_names_bottom_up"]
        for disc, expected in zip(discs, case["discs_bottom_up_slice_row_col"], strict=True):
            assert set(disc) == {"volume", "level_name"}
            assert_samples(disc["volume"], expected, 1e-4)

    def test_both_names_of_the_volume(self, reader: spine_net.SpineNet) -> None:
        volume = formula_scan(200, 180, 2, 0.0)
        assert reader.get_ivds_from_vert_dicts(vert_dicts=[], scan_volume=volume) == []
        assert reader.get_ivds_from_vert_dicts([], volume=volume) == []
        several: tuple[dict[str, Any], ...] = ({}, {"scan_volume": volume, "volume": volume})
        for names in several:
            with pytest.raises(TypeError, match="give scan_volume, or volume"):
                reader.get_ivds_from_vert_dicts([], **names)

    def test_disc_without_an_image_is_logged_and_left_out(
        self, reader: spine_net.SpineNet, spine: Array, caplog: pytest.LogCaptureFixture
    ) -> None:
        verts = [
            {"predicted_label": name, "slice_nos": [0], "polys": [quad]}
            for name, quad in zip(("L4", "L5"), spine, strict=False)
        ]
        assert reader.get_ivds_from_vert_dicts(verts, np.zeros((300, 300, 1))) == []
        assert "Disc L4-L5 is left out" in caplog.text

    def test_table_cranial_first(self, reader: spine_net.SpineNet) -> None:
        case = load("grades_table")
        top_down = [
            [case["argmax_bottom_up"][name][::-1][i] for name in COLUMNS]
            for i in range(len(case["table_rows"]))
        ]
        reader.grading_model = FixedGrades(top_down)
        discs = [{"level_name": name, "volume": np.zeros((9, 112, 224))} for name in case["table_rows"][::-1]]
        wanted = pd.DataFrame(case["table_values"], case["table_rows"], case["table_columns"])
        pd.testing.assert_frame_equal(reader.grade_ivds(discs), wanted)


class TestSetUp:
    def test_missing_device_gives_way_to_the_processor(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        beyond = f"cuda:{torch.cuda.device_count()}"
        reader = spine_net.SpineNet(device=beyond, verbose=False, weights=tiny_bundle(tmp_path / "bundle"))
        assert reader.device == torch.device("cpu")
        assert f"There is no device {beyond} here" in caplog.text

    def test_published_weights_that_are_not_here(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SPINENET_HOME", str(tmp_path))
        with pytest.raises(WeightsError, match=r"spinenet\.download_weights\(\)"):
            spine_net.SpineNet(device="cpu")

    def test_import_is_light(self) -> None:
        code = (
            "import sys, spinenet; heavy = {'torch', 'pandas', 'cv2', 'scipy'} & set(sys.modules)\n"
            "assert not heavy, heavy\n"
            "assert callable(spinenet.SpineNet) and callable(spinenet.read_results)\n"
            "assert callable(spinenet.io.load_dicoms) and 'io' in dir(spinenet)"
        )
        root = Path(__file__).parent.parent
        subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(root)})

    def test_unknown_attribute(self) -> None:
        with pytest.raises(AttributeError, match="no attribute 'Spinenet'"):
            _ = spinenet.Spinenet


class TestDownloads:
    def test_weights_show_their_terms_and_go_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("SPINENET_HOME", str(tmp_path / "home"))
        with serve(tmp_path) as server:
            monkeypatch.setenv("SPINENET_WEIGHTS_URL", server.url)
            with pytest.raises(WeightsError, match=r"ckpt435\.pt was not served"):
                spinenet.download_weights(verbose=False)
        assert "University" in capsys.readouterr().err

    @pytest.mark.parametrize("inner", ["", "t2_lumbar_scan_1/"])
    def test_example_scan(self, tmp_path: Path, inner: str) -> None:
        served = tmp_path / "served"
        served.mkdir()
        with zipfile.ZipFile(served / "t2_lumbar_scan_1.zip", "w") as archive:
            archive.writestr(f"{inner}IM1.dcm", b"one")
            archive.writestr(f"{inner}IM2.dcm", b"two")
        with serve(served) as server:
            folder = spinenet.download_example_scan("t2_lumbar_scan_1", tmp_path / "x", base_url=server.url)
        assert folder == tmp_path / "x" / "t2_lumbar_scan_1"
        assert sorted(path.name for path in folder.iterdir()) == ["IM1.dcm", "IM2.dcm"]
        assert [path.name for path in (tmp_path / "x").iterdir()] == ["t2_lumbar_scan_1"]

    @pytest.mark.parametrize("inner", ["", "t2_lumbar_scan_1/"])
    def test_example_scan_packed_on_a_mac(self, tmp_path: Path, inner: str) -> None:
        served = tmp_path / "served"
        served.mkdir()
        with zipfile.ZipFile(served / "t2_lumbar_scan_1.zip", "w") as archive:
            for name in (
                f"{inner}IM1.dcm",
                f"__MACOSX/{inner}._IM1.dcm",
                f"{inner}.DS_Store",
                "__MACOSX/._x",
            ):
                archive.writestr(name, b"one")
        with serve(served) as server:
            names: dict[str, Any] = {"example_scan_name": "t2_lumbar_scan_1", "file_path": tmp_path / "x"}
            folder = spinenet.download_example_scan(**names, base_url=server.url)
        assert [path.relative_to(folder).as_posix() for path in folder.rglob("*")] == ["IM1.dcm"]

    def test_example_scan_by_either_name(self, tmp_path: Path) -> None:
        for names in ({}, {"name": "stir_whole_spine", "example_scan_name": "stir_whole_spine"}):
            with pytest.raises(TypeError, match="give example_scan_name, or name"):
                spinenet.download_example_scan(**names, file_path=tmp_path)

    def test_a_file_by_its_url(self, tmp_path: Path) -> None:
        (tmp_path / "served").mkdir()
        (tmp_path / "served" / "file").write_bytes(b"content")
        with serve(tmp_path / "served") as server:
            spinenet.io.download(f"{server.url}/file", str(tmp_path / "mine"))
        assert (tmp_path / "mine").read_bytes() == b"content"
        assert callable(spinenet.io.download_weights)

    def test_example_scan_that_is_no_archive(self, tmp_path: Path) -> None:
        (tmp_path / "stir_whole_spine.zip").write_text("<html></html>")
        with serve(tmp_path) as server, pytest.raises(WeightsError, match="is no zip archive"):
            spinenet.download_example_scan("stir_whole_spine", tmp_path / "x", base_url=server.url)
        assert list((tmp_path / "x").iterdir()) == []

    def test_unknown_example_scan(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="there are t2_lumbar_scan_1"):
            spinenet.download_example_scan("t1", tmp_path)


class TestReading:
    @pytest.fixture
    def series(self, tmp_path: Path) -> Path:
        """Five slices of 64 x 48 pixels of 0.8 x 0.6 mm, written as DICOM."""
        affine = np.array([[0, 0, 4.0, -8], [0, 0.6, 0, 0], [-0.8, 0, 0, 0], [0, 0, 0, 1]])
        scan = Scan(
            volume=np.arange(64 * 48 * 5, dtype=np.float32).reshape(64, 48, 5) % 1000,
            pixel_spacing=(0.8, 0.6),
            slice_spacing=4.0,
            affine=affine,
            header={"slice_thickness": 3.5},
        )
        uids = {"study_uid": "1.2.3", "series_uid": "1.2.3.4"}
        write_series(tmp_path / "series", scan, patient_id="p", description="T2 SAG", **uids)
        return tmp_path / "series"

    def test_folder(self, series: Path) -> None:
        scan = spinenet.io.load_dicoms_from_folder(series)
        assert scan.volume.shape == (64, 48, 5)
        assert scan.volume[1, 2, 3] == (1 * 48 * 5 + 2 * 5 + 3) % 1000
        assert scan.pixel_spacing == pytest.approx((0.8, 0.6))
        assert scan.slice_thickness == pytest.approx(3.5)

    def test_names_without_extension(self, series: Path) -> None:
        for path in list(series.iterdir()):
            path.rename(path.with_suffix(""))
        with pytest.raises(ScanError, match="require_extensions=False"):
            spinenet.io.load_dicoms_from_folder(series)
        assert spinenet.io.load_dicoms_from_folder(series, require_extensions=False).volume.shape[2] == 5

    def test_files_in_any_order_and_tags_overwritten(self, series: Path) -> None:
        paths = sorted(series.iterdir(), reverse=True)
        scan = spinenet.io.load_dicoms(
            paths, metadata_overwrites={"PixelSpacing": [0.5, 0.5], "SliceThickness": 3}
        )
        assert scan.pixel_spacing == pytest.approx((0.5, 0.5))
        assert scan.slice_thickness == 3.0
        assert np.array_equal(scan.volume, spinenet.io.load_dicoms_from_folder(series).volume)

    def test_missing_folder_and_file(self, tmp_path: Path) -> None:
        with pytest.raises(ScanError, match="path_missing"):
            spinenet.io.load_dicoms_from_folder(tmp_path / "nowhere")
        with pytest.raises(ScanError, match="path_missing"):
            spinenet.io.load_dicoms([tmp_path / "nowhere.dcm"])

    def test_files_of_a_mac_beside_the_slices(self, series: Path) -> None:
        for name in ("._0000.dcm", ".DS_Store", ".hidden.dcm"):
            (series / name).write_bytes(b"\0\5\x16\7 Mac OS X")
        for required in (True, False):
            assert spinenet.io.load_dicoms_from_folder(series, required).volume.shape[2] == 5

    def test_attributes_of_a_scan_may_be_replaced(self, series: Path) -> None:
        scan = spinenet.io.load_dicoms_from_folder(path=series, metadata_overwrites={"SliceThickness": [2]})
        scan.volume = scan.volume[:, :, 1:3]
        assert (scan.volume.shape[2], scan.slice_thickness) == (2, 2.0)

    def test_vertebrae_as_csv(self, spine: Array, tmp_path: Path) -> None:
        """The published columns, a row for each vertebra."""
        file = tmp_path / "verts.csv"
        verts = [
            {
                "predicted_label": "L4",
                "slice_nos": [4, 5],
                "polys": list(spine[:2]),
                "average_polygon": spine[0],
            },
            {
                "predicted_label": "L5",
                "slice_nos": [np.int64(4)],
                "polys": spine[:1],
                "average_polygon": spine[1],
            },
        ]
        spinenet.io.save_vert_dicts_to_csv(vert_dicts=verts, filename=str(file))
        assert file.read_text().splitlines()[0] == "polys,average_polygon,slice_nos,predicted_label"
        table = pd.read_csv(file)
        assert table["predicted_label"].tolist() == ["L4", "L5"]
        assert table["slice_nos"].tolist() == ["[4, 5]", "[4]"]
        assert np.array_equal(ast.literal_eval(table["polys"][0]), spine[:2])
        assert np.array_equal(ast.literal_eval(table["average_polygon"][1]), spine[1])

    @pytest.mark.parametrize("key", ["polys", "average_polygon", "slice_nos", "predicted_label"])
    def test_vertebra_without_a_key(self, spine: Array, tmp_path: Path, key: str) -> None:
        vert = {"predicted_label": "L4", "slice_nos": [4], "polys": spine[:1], "average_polygon": spine[0]}
        del vert[key]
        with pytest.raises(KeyError, match=key):
            spinenet.io.save_vert_dicts_to_csv([vert], tmp_path / "verts.csv")
        assert not (tmp_path / "verts.csv").exists()

    def test_slices_as_csv(self, spine: Array, tmp_path: Path) -> None:
        verts = [{"predicted_label": "L5", "slice_nos": [4, 5], "polys": [spine[0], spine[1]]}]
        spinenet.io.save_slices_to_csv(verts, tmp_path / "verts.csv")
        with (tmp_path / "verts.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert [row["slice_no"] for row in rows] == ["4", "5"]
        assert float(rows[1]["rb_y"]) == spine[1, 1, 1]


@pytest.mark.slow
def test_published_sizes_through_the_import(tmp_path: Path) -> None:
    """Formula weights as .pt files, converted by the command, give the published outputs in the class."""
    for part, network in (
        ("detector", Detector),
        ("appearance", AppearanceNetwork),
        ("context", ContextNetwork),
        ("grading", GradingNetwork),
    ):
        state = with_formula_weights(network()).state_dict()
        write_checkpoint(tmp_path / "pt", SPINENET_V2.checkpoints[part], state)
    target = tmp_path / "bundle"
    result = CliRunner().invoke(weights_app, ["import", str(tmp_path / "pt"), "--to", str(target)])
    assert result.exit_code == 0, result.exception
    reader = spinenet.SpineNet(device="cpu", verbose=False, weights=target)
    networks = {
        "detector": reader.detection_model,
        "appearance": reader.appearance_model,
        "context": reader.context_model,
        "grading": reader.grading_model,
    }
    for name, case in load("networks").items():
        with torch.inference_mode():
            outputs = networks[name](formula_input(case["input_shape"]))
        outputs = (outputs,) if isinstance(outputs, torch.Tensor) else outputs
        for output, expected in zip(outputs, case["outputs"], strict=True):
            assert_samples(output.numpy(), expected, 1e-3)


def test_a_scan_is_shown_in_a_line() -> None:
    scan = spinenet.io.SpinalScan(np.zeros((448, 400, 15), np.float32), (0.6, 0.6), 4.0)
    assert (
        repr(scan)
        == "SpinalScan(volume=448 x 400 x 15 float32, pixel_spacing=(0.6, 0.6), slice_thickness=4.0)"
    )
