"""A share that is away, a worker that may not read, a GPU that fails: no good scan's row says failed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from distributed import Client
from distributed.utils import open_port
from test_trouble import work_on

import flows.workers
from flows.cluster import cluster_address, connected, wait_for_slots
from flows.shards import do_shard
from flows.trouble import RETIRE_AFTER, STOP_AFTER
from flows.work import Work
from flows.workers import Orders, Outcome, Prepared, Steps, prepare, read
from spinenet.cohort.checkpoints import Detections
from spinenet.errors import RunError


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with cluster_address("local") as address, connected(address) as client:
        wait_for_slots(client)
        yield client


def on_a_share(client: Client, folder: Path, names: list[str], missing: tuple[str, ...] = ()) -> Work:
    """A run of one shard over scans on a share beside its output."""
    share = folder / "share"
    work = work_on(client, share, names, out=folder / "out")
    for name in missing:
        shutil.rmtree(share / name)
    return work


def test_a_share_that_is_away_for_seconds_loses_no_scan(client: Client, tmp_path: Path) -> None:
    work = on_a_share(client, tmp_path, [f"s{i}" for i in range(6)])
    share, elsewhere = tmp_path / "share", tmp_path / "elsewhere"
    share.rename(elsewhere)
    back = threading.Timer(6, elsewhere.rename, (share,))
    back.start()
    assert do_shard(work, 0) == {"done": 6}
    assert not back.is_alive()


def test_a_share_that_stays_away_stops_the_run_before_anything_is_committed(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.scans.AWAY_S", 3.0)
    names = [f"s{i}" for i in range(STOP_AFTER)]
    (tmp_path / "share").mkdir()
    work = work_on(client, tmp_path / "share", names, out=tmp_path / "out", write_scans=False)
    (tmp_path / "share").rename(tmp_path / "elsewhere")
    with pytest.raises(RunError, match=rf"share, with {STOP_AFTER} scans .* cannot be read from the workers"):
        do_shard(work, 0)
    assert work.ledger.commits() == {}
    assert do_shard(replace(work, keep_going=True), 0) == {"path_missing": STOP_AFTER}


def test_paths_that_are_really_missing_are_rows_of_their_own(client: Client, tmp_path: Path) -> None:
    names = [f"s{i}" for i in range(33)]
    (tmp_path / "share").mkdir()
    work = work_on(client, tmp_path / "share", names, out=tmp_path / "out", write_scans=False)
    began = time.monotonic()
    assert do_shard(work, 0) == {"path_missing": 33}
    assert time.monotonic() - began < 60


@pytest.fixture
def unprivileged(tmp_path: Path) -> Iterator[Client]:
    """A scheduler with a worker that may read all, and one that may not read what is another user's."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root's rights, to take them from a worker")
    address = f"tcp://127.0.0.1:{open_port()}"
    python = [sys.executable, "-m"]
    where = ["--host", "127.0.0.1", "--port", address.rpartition(":")[2], "--no-dashboard"]
    worker = [*python, "distributed.cli.dask_worker", address, "--no-nanny", "--no-dashboard"]
    worker += ["--host", "127.0.0.1", "--nthreads", "1", "--death-timeout", "120"]
    poor = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all", *worker]
    commands = [
        [*python, "distributed.cli.dask_scheduler", *where],
        [*worker, "--resources", "CPU=1 GPU=1", "--name", "rich"],
        [*poor, "--resources", "CPU=1", "--name", "poor"],
    ]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    processes = [subprocess.Popen(command, cwd=tmp_path, **quiet) for command in commands]  # type: ignore[call-overload]
    try:
        with Client(address, timeout=120, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=120)
            yield client
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_a_worker_without_the_right_to_read_is_retired(unprivileged: Client, tmp_path: Path) -> None:
    names = [f"s{i}" for i in range(4 * RETIRE_AFTER)]
    work = on_a_share(unprivileged, tmp_path, names)
    for folder, _, files in os.walk(tmp_path / "share"):
        for path in (folder, *(os.path.join(folder, file) for file in files)):  # noqa: PTH118
            os.chown(path, 12345, 12345)
            Path(path).chmod(0o700)
    assert do_shard(work, 0) == {"done": len(names)}
    deadline = time.monotonic() + 30
    while len(unprivileged.scheduler_info()["workers"]) > 1 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert [told["name"] for told in unprivileged.scheduler_info()["workers"].values()] == ["rich"]


def read_on_a_broken_gpu(prepared: Prepared, orders: Orders, known: Detections | None = None) -> Outcome:
    """Stands in for a GPU: the first process, and every one for one of the scans, meets a sticky error."""
    marker = Path(os.environ["BROKEN_GPU"])
    if prepared.entry.scan_id != "cursed" and marker.exists() and marker.read_text() != str(os.getpid()):
        return read(prepared, orders, known)
    marker.write_text(str(os.getpid()))

    def fails(*args: object) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might be ...")

    infer, flows.workers._infer = flows.workers._infer, fails
    try:
        return read(prepared, orders, known)
    finally:
        flows.workers._infer = infer


def test_a_gpu_that_fails_ends_its_worker_and_the_scan_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKEN_GPU", str(tmp_path / "marker"))
    with cluster_address("local") as address, connected(address) as client:
        wait_for_slots(client)
        before = set(client.run(os.getpid).values())
        work = work_on(client, tmp_path, ["a", "cursed", "b"], steps=Steps(prepare, read_on_a_broken_gpu))
        assert do_shard(work, 0) == {"done": 2, "gpu_failed": 1}
        wait_for_slots(client)
        assert set(client.run(os.getpid).values()) != before
