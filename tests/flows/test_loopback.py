"""A run against the Prefect server, Dask scheduler and two classes of workers of infra/loopback."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from distributed import Security
from test_strangers import listening

from flows.clusters.address import Cluster, connected
from flows.prefect_server.server import free_port
from spinenet.errors import RunError
from support.cohorts import command, small_scan, write

LOOPBACK = Path(__file__).parents[2] / "infra" / "loopback"


@dataclass(frozen=True)
class Deployment:
    """What ``up`` began, and the environment that it says to export."""

    folder: Path
    api: str
    scheduler: str
    environment: Mapping[str, str]


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
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
        lines = [
            line.removeprefix("export ") for line in up.stdout.splitlines() if line.startswith("export ")
        ]
        told = dict(shlex.split(line)[0].split("=", 1) for line in lines)
        yield Deployment(tmp_path / "up", told["PREFECT_API_URL"], f"tls://127.0.0.1:{dask}", told)
    finally:
        subprocess.run([LOOPBACK, "down", tmp_path / "up"], check=True)


def test_a_folder_that_others_may_have_made_is_refused(tmp_path: Path) -> None:
    victim = subprocess.Popen(["sleep", "60"])
    try:
        (tmp_path / "theirs").mkdir()
        (tmp_path / "theirs" / "prefect.pid").write_text(f"{victim.pid}\n", encoding="utf-8")
        (tmp_path / "link").symlink_to(tmp_path / "theirs")
        told = subprocess.run([LOOPBACK, "down", tmp_path / "link"], capture_output=True, text=True)
        assert told.returncode == 1
        assert "is not a folder of your own; name another DIR" in told.stderr
        assert victim.poll() is None
        # without DIR it is the user's own folder, which nobody else can write to
        environment = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path / "runtime")}
        subprocess.run([LOOPBACK, "down"], env=environment, check=True)
        assert (tmp_path / "runtime" / "spinenet-loopback").stat().st_mode & 0o777 == 0o700
    finally:
        victim.kill()
        victim.wait()


def test_run_on_a_deployment(deployment: Deployment, tmp_path: Path) -> None:
    api, scheduler = deployment.api, deployment.scheduler
    # the page asks the API at the port where it is
    assert httpx.get(api.replace("/api", "/ui-settings"), timeout=30).json()["api_url"] == api
    started = [psutil.Process(int(file.read_text())) for file in deployment.folder.glob("*.pid")]
    assert len(started) == 4
    hosts = {host for process in started for host, _ in listening(process)}
    assert hosts == {"127.0.0.1"}
    assert (deployment.folder / "tls" / "dask.key").stat().st_mode & 0o077 == 0
    with (
        pytest.raises(RunError, match="no Dask scheduler answers"),
        connected(Cluster(scheduler, Security.temporary())),
    ):
        pass
    for name in ("a", "b"):
        write(tmp_path / name, small_scan(1), name)
    manifest, out = tmp_path / "manifest.csv", tmp_path / "out"
    manifest.write_text("scan_id,path\na,a\nb,b\n", encoding="utf-8")
    ran = subprocess.run(
        command("run", manifest, out, "--weights", "synthetic", "--cluster", scheduler, "--shard-size", "1"),
        env=os.environ | deployment.environment,
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
    kinds = sorted(artifact["key"].rpartition("-")[0] for artifact in artifacts)
    assert kinds == ["account", "progress", "shard-00000", "shard-00001", "tables"]
    deadline = time.monotonic() + 30
    while True:  # the server takes in the states of tasks by and by
        tasks = httpx.post(f"{api}/task_runs/filter", json={}, timeout=30).json()
        states = {task["name"]: task["state_type"] for task in tasks}
        if states == {"shard-00000": "COMPLETED", "shard-00001": "COMPLETED"}:
            break
        assert time.monotonic() < deadline, states
        time.sleep(0.2)
