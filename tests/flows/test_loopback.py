"""A run against the Prefect server, Dask scheduler and two classes of workers of infra/loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cohorts import command, small_scan, write

from flows.server import free_port

LOOPBACK = Path(__file__).parents[2] / "infra" / "loopback"


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[tuple[str, str]]:
    prefect, dask = free_port(), free_port()
    environment = os.environ | {
        "PYTHON": sys.executable,
        "PREFECT_PORT": str(prefect),
        "DASK_PORT": str(dask),
    }
    up = subprocess.run(
        [LOOPBACK, "up", tmp_path / "up"], env=environment, capture_output=True, text=True, check=False
    )
    try:
        assert up.returncode == 0, up.stderr
        yield f"http://127.0.0.1:{prefect}/api", f"tcp://127.0.0.1:{dask}"
    finally:
        subprocess.run([LOOPBACK, "down", tmp_path / "up"], check=True)


def test_run_on_a_deployment(deployment: tuple[str, str], tmp_path: Path) -> None:
    api, scheduler = deployment
    for name in ("a", "b"):
        write(tmp_path / name, small_scan(1), name)
    manifest, out = tmp_path / "manifest.csv", tmp_path / "out"
    manifest.write_text("scan_id,path\na,a\nb,b\n", encoding="utf-8")
    ran = subprocess.run(
        command("run", manifest, out, "--weights", "synthetic", "--cluster", scheduler, "--shard-size", 1),
        env=os.environ | {"PREFECT_API_URL": api},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    commits = [json.loads(file.read_text(encoding="utf-8")) for file in (out / "_run" / "commits").iterdir()]
    assert {worker for commit in commits for worker in commit["workers"]["decode"]} == {"cpu-1 CPU"}
    assert {worker for commit in commits for worker in commit["workers"]["inference"]} == {"gpu-1 GPU"}
    flows = httpx.post(f"{api}/flow_runs/filter", json={}, timeout=30).json()
    assert [run["state_type"] for run in flows] == ["COMPLETED"]
    artifacts = httpx.post(f"{api}/artifacts/filter", json={}, timeout=30).json()
    assert {artifact["key"] for artifact in artifacts} == {"tables", "shard-00000", "shard-00001"}
