"""The command ``run`` end to end: 30 scans of which ten are broken, each in another way."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import spinenet as library
from spinenet.anatomy import FINDINGS
from spinenet.cohort.manifests.manifest import read_manifest
from spinenet.inference.pipeline import read_spine
from spinenet.readers.series import read_scan
from spinenet.types import CORNERS
from spinenet.weights import resolve
from spinenet.weights.networks import load_networks
from support.canary import CANARY
from support.cohorts import BROKEN, Undisturbed, assert_same_tables, spinenet, tables


def test_every_row_is_accounted_for(undisturbed: Undisturbed) -> None:
    assert undisturbed.process.returncode == 3, undisturbed.process.stderr
    scans = tables(undisturbed.out)["scans"]
    assert scans["scan_id"].tolist() == read_manifest(str(undisturbed.manifest)).table["scan_id"].to_pylist()
    reasons = scans.set_index("scan_id")["reason"].dropna().astype(str).to_dict()
    assert reasons == {f"bad-{reason}": reason for reason in BROKEN}
    assert (scans.loc[scans["scan_id"].str.startswith("good"), "status"] == "done").all()
    assert set(scans["site"]) == {"leeds", "york"}
    assert "20 done" in undisturbed.process.stdout


def test_the_good_scans_are_right(undisturbed: Undisturbed) -> None:
    networks = load_networks(resolve("synthetic"))
    written = tables(undisturbed.out)
    good = [name for name in written["scans"]["scan_id"] if name.startswith("good")]
    assert len(good) == 20
    for scan_id in good:
        reading = read_spine(read_scan(str(undisturbed.manifest.parent / scan_id)), networks)
        rows, grades = (
            part[part["scan_id"] == scan_id] for part in (written["vertebrae"], written["grades"])
        )
        # of some of these coarse scans too little is found to be sure of a spine
        told = () if reading.not_a_spine else reading.vertebrae
        assert rows["level"].astype(str).tolist() == [v.level for v in told]
        corners = rows[[f"{corner}_{axis}" for corner in CORNERS for axis in "xy"]].to_numpy()
        expected = np.array([v.mean_quad.ravel() for v in told]).reshape(-1, 8)
        np.testing.assert_allclose(corners, expected, atol=1e-3)
        assert grades["level"].astype(str).tolist() == [g.level for g in reading.grades]
        for finding in FINDINGS:
            last = finding.values[-1]
            expected = np.array([g.probabilities[finding.name][-1] for g in reading.grades])
            np.testing.assert_allclose(grades[f"{finding.name}_p{last}"], expected, atol=1e-4)
            best = [finding.values[int(np.argmax(g.probabilities[finding.name]))] for g in reading.grades]
            assert grades[finding.name].tolist() == best


def test_status_groups_the_reasons(undisturbed: Undisturbed) -> None:
    told = spinenet("status", undisturbed.out)
    assert told.returncode == 0, told.stderr
    assert all(f"failed: {reason}" in told.stdout for reason in BROKEN)
    account = json.loads(spinenet("status", undisturbed.out, "--json").stdout)
    assert account["finished"]
    assert sum(account["states"].values()) == account["rows"] == 30
    assert Counter(row["state"] for row in account["scans"]) == {"done": 20, "failed": 10}


def test_decoding_and_inference_ran_on_their_own_class_of_workers(undisturbed: Undisturbed) -> None:
    traced: dict[str, Counter[str]] = {}
    for file in (undisturbed.out / "_run" / "commits").iterdir():
        for kind, workers in json.loads(file.read_text(encoding="utf-8"))["workers"].items():
            traced.setdefault(kind, Counter()).update(workers)
    assert sum(traced["decode"].values()) == 30
    assert sum(traced["inference"].values()) == 20
    assert {worker.split()[1] for worker in traced["decode"]} == {"CPU"}
    assert {worker.split()[1] for worker in traced["inference"]} == {"GPU"}
    assert max(traced["load"].values()) == 1


def test_a_finished_run_is_left_alone(undisturbed: Undisturbed) -> None:
    files = {file: file.stat().st_mtime_ns for file in undisturbed.out.rglob("*")}
    again = spinenet("run", undisturbed.manifest, undisturbed.out, *undisturbed.arguments)
    assert again.returncode == 3
    assert {file: file.stat().st_mtime_ns for file in undisturbed.out.rglob("*")} == files


def test_results_open_in_one_line(undisturbed: Undisturbed) -> None:
    results = library.read_results(str(undisturbed.out))
    assert len(results.scans) == 30
    assert set(results.grades["scan_id"]) <= set(results.scans["scan_id"])
    whole = pd.read_parquet(undisturbed.out / "grades")
    assert not whole.duplicated(["scan_id", "level"]).any()


def test_damaged_parts_are_made_again(undisturbed: Undisturbed, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(undisturbed.out, out)
    (out / "_SUCCESS").unlink()
    shutil.rmtree(out / "grades")
    part = sorted((out / "_run" / "staged").glob("scans-00002-*"))[0]
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 255
    part.write_bytes(data)
    again = spinenet("run", undisturbed.manifest, out, *undisturbed.arguments, "--no-prefect")
    assert again.returncode == 3, again.stderr
    assert_same_tables(undisturbed.out, out)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (("--weights", "synthetic", "--no-skip-penalty"), "other settings"),
        (("--weights", "nowhere"), "nowhere"),
    ],
)
def test_another_run_is_refused(undisturbed: Undisturbed, changed: tuple[str, ...], said: str) -> None:
    refused = spinenet("run", undisturbed.manifest, undisturbed.out, *changed)
    assert refused.returncode == 2
    assert_one_sentence(refused.stderr, said)


def assert_one_sentence(errors: str, said: str) -> None:
    """Beside lines of the log nothing is told but one sentence."""
    (sentence,) = [line for line in errors.splitlines() if " INFO " not in line]
    assert said in sentence


def test_bad_manifests_are_bad_usage(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("scan_id,path\na,x\na,y\n", encoding="utf-8")
    for manifest in (tmp_path / "m.csv", tmp_path / "absent.csv"):
        refused = spinenet("run", manifest, tmp_path / "out", "--weights", "synthetic")
        assert refused.returncode == 2
        assert not (tmp_path / "out").exists()


def test_check_says_what_would_fail_and_writes_nothing(undisturbed: Undisturbed) -> None:
    told = spinenet("check", undisturbed.manifest, "--weights", "synthetic")
    assert told.returncode == 3, told.stderr
    assert "bad-path_missing" in told.stdout


def test_no_text_of_a_header_gets_out(undisturbed: Undisturbed) -> None:
    headers = [*(undisturbed.manifest.parent / "good-00").iterdir()]
    headers += (undisturbed.manifest.parent / "bad-bad_pixels").iterdir()
    assert all(file.read_bytes().count(CANARY.encode()) > 500 for file in headers)
    checked = spinenet("check", undisturbed.manifest, "--weights", "synthetic", "--out", undisturbed.out)
    told = spinenet("status", undisturbed.out, "--json")
    texts = [p.stdout + p.stderr for p in (undisturbed.process, checked, told)]
    for file in undisturbed.out.rglob("*"):
        if file.suffix == ".parquet":
            table = pq.read_table(file)
            texts.append(repr((table.to_pylist(), table.schema.metadata)))
        elif file.is_file():
            texts.append(file.read_text(encoding="utf-8"))
    assert len(texts) > 20
    assert not any(CANARY.lower() in text.lower() for text in texts)
