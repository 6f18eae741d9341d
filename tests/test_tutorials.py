"""The tutorials run as they are stored, and their pictures and tables show what they say."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skimage.io

import spinenet
from spinenet.evaluation import score_against_truth

TUTORIALS = sorted(Path(__file__).parents[1].glob("tutorials/*.ipynb"))


def executed(name: str, folder: Path) -> list[dict[str, Any]]:
    """The outputs of a tutorial that is run in a folder, with the environment's commands at hand."""
    (path,) = (path for path in TUTORIALS if path.name == name)
    script = Path(__file__).with_name("support") / "execute_notebook.py"
    commands = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [sys.executable, script, path, "executed.ipynb"],
        cwd=folder,
        env={**os.environ, "PATH": commands},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    cells = json.loads((folder / "executed.ipynb").read_text(encoding="utf-8"))["cells"]
    return [output for cell in cells for output in cell.get("outputs", [])]


def text_of(outputs: list[dict[str, Any]]) -> str:
    """All that was printed or shown as text."""
    parts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs]
    return "".join("".join(part) for part in parts)


def pictures(outputs: list[dict[str, Any]]) -> list[np.ndarray[Any, Any]]:
    """(rows, columns, 3 or 4) pixels of each picture."""
    data = [output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    return [skimage.io.imread(io.BytesIO(base64.b64decode("".join(text)))) for text in data]


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_tutorials_are_stored_without_outputs(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) >= 5
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)


@pytest.mark.docs
def test_quickstart_finds_the_drawn_vertebrae_and_draws_them(tmp_path: Path) -> None:
    outputs = executed("01-quickstart.ipynb", tmp_path)
    truth = pd.read_parquet(tmp_path / "quickstart" / "truth" / "vertebrae.parquet")
    told = text_of(outputs)
    whole = truth.loc[truth["share_in_view"] >= 0.5, "level"]
    assert len(whole) > 5
    assert all(f"('{level}', " in told for level in whole)
    assert "L4-L5" in told
    scan, discs = pictures(outputs)
    # a grey scan with outlines in colour, and discs in grey alone
    assert coloured(scan) > 500
    assert coloured(discs) == 0
    assert all(len(np.unique(picture[..., 0])) > 100 for picture in (scan, discs))


def coloured(picture: np.ndarray[Any, Any], least: int = 60) -> int:
    """Pixels that are clearly not grey: their channels differ by at least so much."""
    return int((np.ptp(picture[..., :3].astype(int), axis=-1) >= least).sum())


@pytest.mark.docs
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_cohort_is_run_queried_and_plotted(tmp_path: Path) -> None:
    outputs = executed("02-cohort.ipynb", tmp_path)
    results = spinenet.read_results(str(tmp_path / "results"))
    states = results.scans.set_index("scan_id")["status"]
    assert states.value_counts().to_dict() == {"done": 10, "failed": 1, "excluded": 0}
    assert results.scans.set_index("scan_id").loc["sub-lost", "reason"] == "path_missing"
    assert score_against_truth(results, tmp_path / "cohort").recall > 0.9
    told = text_of(outputs)
    assert "11 scans" in told
    assert "path_missing" in told
    assert "exit status 3" in told
    assert "\x1b" not in told
    bars, heat = pictures(outputs)
    assert coloured(bars) > 50_000
    # most shares are small, and their cells pale
    assert coloured(heat, least=15) > 50_000
