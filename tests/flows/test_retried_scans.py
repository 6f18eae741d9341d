"""A share that is away, a worker that may not read, a GPU that fails: no good scan's row says failed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from distributed import Client, get_worker
from distributed.utils import open_port
from test_trouble import Work, local_workers, work_on

import spinenet.cohort.scan as steps_of_a_scan
from flows.clusters.address import CPU, GPU, nanny, wait_for_slots, workers_of
from flows.workers import Steps, decode, infer
from spinenet.cohort.checkpoints import Detections
from spinenet.cohort.manifests.manifest import Entry
from spinenet.cohort.rows import Failure
from spinenet.cohort.scan import Decoded, Orders, Outcome
from spinenet.cohort.trouble import RETIRE_AFTER, STOP_AFTER
from spinenet.errors import RunError
from support import no_op_steps


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with local_workers() as client:
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
    assert work.do() == {"done": 6}
    assert not back.is_alive()


def test_a_share_that_stays_away_stops_the_run_before_anything_is_committed(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spinenet.cohort.attempts.AWAY_S", 3.0)
    names = [f"s{i}" for i in range(STOP_AFTER)]
    (tmp_path / "share").mkdir()
    work = work_on(client, tmp_path / "share", names, out=tmp_path / "out", write_scans=False)
    (tmp_path / "share").rename(tmp_path / "elsewhere")
    with pytest.raises(RunError, match=rf"share, with {STOP_AFTER} scans .* cannot be read from the workers"):
        work.do()
    assert work.job.ledger.commits() == {}
    assert replace(work, job=replace(work.job, keep_going=True)).do() == {"path_missing": STOP_AFTER}


def test_paths_that_are_really_missing_are_rows_of_their_own(client: Client, tmp_path: Path) -> None:
    names = [f"s{i}" for i in range(33)]
    (tmp_path / "share").mkdir()
    work = work_on(client, tmp_path / "share", names, out=tmp_path / "out", write_scans=False)
    began = time.monotonic()
    assert work.do() == {"path_missing": 33}
    assert time.monotonic() - began < 60


def test_looks_without_an_answer_say_nothing_of_a_path(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.crew.LOOK_S", -1.0)
    monkeypatch.setattr("spinenet.cohort.attempts.AWAY_S", 0.0)
    names = [f"s{i}" for i in range(STOP_AFTER)]
    (tmp_path / "share").mkdir()
    work = work_on(client, tmp_path / "share", names, out=tmp_path / "out", write_scans=False)
    with pytest.raises(RunError, match="cannot be read from the workers"):
        work.do()
    assert work.job.ledger.commits() == {}


@contextmanager
def two_workers(folder: Path, **workers: tuple[str, Sequence[str]]) -> Iterator[Client]:
    """A scheduler and workers that nobody replaces, each a process.

    Parameters
    ----------
    workers
        By name, a worker's resources and what its command is started through.
    """
    address = f"tcp://127.0.0.1:{open_port()}"
    python = [sys.executable, "-m"]
    where = ["--host", "127.0.0.1", "--port", address.rpartition(":")[2], "--no-dashboard"]
    worker = [*python, "distributed.cli.dask_worker", address, "--no-nanny", "--no-dashboard"]
    worker += ["--host", "127.0.0.1", "--nthreads", "1", "--death-timeout", "120"]
    commands = [
        [*python, "distributed.cli.dask_scheduler", *where],
        *(
            [*prefix, *worker, "--resources", resources, "--name", name]
            for name, (resources, prefix) in workers.items()
        ),
    ]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [subprocess.Popen(c, cwd=folder, env=environment, **quiet) for c in commands]  # type: ignore[call-overload]
    try:
        with Client(address, timeout=120, set_as_default=False) as client:
            client.wait_for_workers(len(workers), timeout=120)
            yield client
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.fixture
def unprivileged(tmp_path: Path) -> Iterator[Client]:
    """A worker that may read all, and one that may not read what is another user's."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root's rights, to take them from a worker")
    taken = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]
    with two_workers(tmp_path, rich=("CPU=1 GPU=1", []), poor=("CPU=1", taken)) as client:
        yield client


@pytest.mark.slow
def test_a_worker_without_the_right_to_read_is_retired(unprivileged: Client, tmp_path: Path) -> None:
    names = [f"s{i}" for i in range(4 * RETIRE_AFTER)]
    work = on_a_share(unprivileged, tmp_path, names)
    for folder, _, files in os.walk(tmp_path / "share"):
        for path in (folder, *(os.path.join(folder, file) for file in files)):  # noqa: PTH118
            os.chown(path, 12345, 12345)
            Path(path).chmod(0o700)
    assert work.do() == {"done": len(names)}
    deadline = time.monotonic() + 30
    while len(workers_of(unprivileged)) > 1 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert [told["name"] for told in workers_of(unprivileged).values()] == ["rich"]


def one_of_each() -> dict[str, Any]:
    return {"cpu-0": nanny(1, {CPU: 1}, {}), "gpu-0": nanny(1, {GPU: 1}, {})}


def infer_on_a_broken_gpu(decoded: Decoded, orders: Orders, detections: Detections | None = None) -> Outcome:
    """Stands in for a GPU: the first process, and every one for one of the scans, meets a sticky error."""
    marker = Path(os.environ["BROKEN_GPU"])
    if decoded.entry.scan_id != "cursed" and marker.exists() and marker.read_text() != str(os.getpid()):
        return infer(decoded, orders, detections)
    marker.write_text(str(os.getpid()))

    def fails(*args: object) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might be ...")

    with patch.object(steps_of_a_scan, "_reading", fails):
        return infer(decoded, orders, detections)


def test_a_gpu_that_fails_ends_its_worker_and_the_scan_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKEN_GPU", str(tmp_path / "marker"))
    # what stands in for a GPU is one of a process, as a GPU is
    with local_workers(one_of_each) as client:
        before = set(client.run(os.getpid).values())
        work = work_on(client, tmp_path, ["a", "cursed", "b"], steps=Steps(decode, infer_on_a_broken_gpu))
        assert work.do() == {"done": 2, "gpu_failed": 1}
        wait_for_slots(client)
        assert set(client.run(os.getpid).values()) != before


def decode_with_a_worker_that_ends(entry: Entry, orders: Orders) -> Decoded:
    """Stands in for the decoder: each scan fails once, and what failed on "stays" ends the worker "goes"."""
    marker, here = Path(entry.path), get_worker().name
    if not marker.exists():
        marker.write_text(here, encoding="utf-8")
        failed = Failure("storage_failed", "the first time")
        return Decoded(entry, None, None, failed, {}, (("decode", f"{here} CPU+GPU"),))
    if here == "goes" and marker.read_text(encoding="utf-8") == "stays":
        os._exit(9)
    return no_op_steps.decode(entry, orders)


def infer_what_did_not_fail(
    decoded: Decoded, orders: Orders, detections: Detections | None = None
) -> Outcome:
    """The rows of a spine for what the decoder above did not refuse."""
    return (infer if decoded.failure else no_op_steps.infer)(decoded, orders, detections)


def test_second_tries_whose_worker_is_gone_are_made_elsewhere(tmp_path: Path) -> None:
    names = [f"s{i}" for i in range(12)]
    with two_workers(tmp_path, stays=("CPU=1 GPU=1", []), goes=("CPU=1 GPU=1", [])) as client:
        steps = Steps(decode_with_a_worker_that_ends, infer_what_did_not_fail)
        work = work_on(client, tmp_path, names, steps=steps, write_scans=False)
        assert work.do() == {"done": 12}
        assert [told["name"] for told in workers_of(client).values()] == ["stays"]
