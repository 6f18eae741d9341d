"""Prefect's server is told of a run and decides on nothing: it may be there, gone, or go in the midst."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import subprocess
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import httpx
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.clusters.address import cluster_address
from flows.clusters.certificates import settings
from flows.cohort_run import RunSummary, Way, run_cohort
from flows.prefect_server.observer import observer
from flows.prefect_server.server import NoServer, OwnServer, free_port, own_server
from flows.progress import LogReporter, Reporter
from flows.tasks import About, Done, Tasks
from spinenet.cohort.request import RunRequest
from spinenet.cohort.results import read_results
from support.cohorts import assert_same_tables
from support.no_op_steps import STEPS
from support.prefect_home import home

N_SCANS = 40
BEGUN = "40 scans in 10 shards, 0 done before"


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Workers for all runs of this module."""
    with cluster_address("local") as cluster:
        assert cluster.security is not None
        tls = cluster.security.get_tls_config_for_role("client")
        with dask.config.set(settings(tls["ca_file"], tls["cert"], tls["key"])):
            yield cluster.address


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnServer]:
    """A server that the user started, with a history of its own."""
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv("PREFECT_HOME", str(home(tmp_path_factory.mktemp("prefect"))))
        with own_server() as started:
            yield started


@pytest.fixture(scope="module")
def server(process: OwnServer) -> str:
    """Its address, once it answers."""
    return process.url(300)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "manifest.csv"
    path.write_text("scan_id,path\n" + "".join(f"s{i},p{i}\n" for i in range(N_SCANS)), encoding="utf-8")
    return path


def run(
    manifest: Path,
    out: str,
    cluster: str,
    *,
    prefect: bool = True,
    reporter: Reporter | None = None,
) -> RunSummary:
    request = RunRequest(
        manifest=str(manifest), out=str(manifest.parent / out), weights="synthetic", shard_size=4
    )
    return run_cohort(request, Way(cluster, prefect, STEPS), reporter)


@contextmanager
def kept_log() -> Iterator[list[str]]:
    """What a run says, without its timings."""
    lines: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(re.sub(r"\d+\.\d+ (s|a second)", "# \\1", record.getMessage()))

    logger, kept = logging.getLogger("spinenet"), Kept()
    level = logger.level
    logger.addHandler(kept)
    logger.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        logger.removeHandler(kept)
        logger.setLevel(level)


def asked(server: str, what: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.post(f"{server}/{what}/filter", json={}, timeout=60).json()
    return found


def test_what_ran_is_on_the_page(manifest: Path, cluster: str, server: str) -> None:
    with temporary_settings({PREFECT_API_URL: server}):
        for out in ("one", "two"):
            run(manifest, out, cluster)
    runs = {run["id"]: run for run in asked(server, "flow_runs")}
    names = [f"manifest.csv to {out}, 10 of 10 shards of 40 scans" for out in ("one", "two")]
    assert sorted(run["name"] for run in runs.values()) == names
    assert {run["state_type"] for run in runs.values()} == {"COMPLETED"}
    assert all({"spinenet", "synthetic"} <= set(run["tags"]) for run in runs.values())
    # the server takes in the states of tasks by and by
    deadline = time.monotonic() + 30
    while True:
        tasks = asked(server, "task_runs")
        if len(tasks) == 20 and all(task["state_type"] == "COMPLETED" for task in tasks):
            break
        assert time.monotonic() < deadline, Counter(task["state_type"] for task in tasks)
        time.sleep(0.2)
    shards = sorted(f"shard-{index:05d}" for index in range(10))
    for run_id in runs:
        assert sorted(task["name"] for task in tasks if task["flow_run_id"] == run_id) == shards
    logs = [log["message"] for log in asked(server, "logs")]
    assert sum(message.startswith("shard-00003: 4 done") for message in logs) == 2
    artifacts = Counter(artifact["key"] for artifact in asked(server, "artifacts"))
    assert set(artifacts.values()) == {1}, "a later run's hide an earlier one's"
    assert sum(key.startswith("shard-00003-") for key in artifacts) == 2
    progress = [a["data"] for a in asked(server, "artifacts") if a["key"].startswith("progress-")]
    assert progress == [100.0, 100.0]


def test_a_run_is_the_same_with_prefect_and_without(manifest: Path, cluster: str, server: str) -> None:
    said, summaries = [], []
    with temporary_settings({PREFECT_API_URL: server}):
        for prefect in (True, False):
            with kept_log() as lines:
                summaries.append(run(manifest, f"prefect-{prefect}", cluster, prefect=prefect))
            own = [line for line in lines if "telling Prefect" not in line]
            told = [re.sub(r"\d+ of 40", "#", re.sub(", about .* left", "", line)) for line in own]
            # shards are done beside each other, in whatever order
            said.append(sorted(told))
            assert told[:3] == ["reading the manifest", "checking the weights", BEGUN]
            assert told[-1] == "writing the tables"
    assert summaries[0].states == summaries[1].states == {"done": N_SCANS, "excluded": 0}
    assert said[0] == said[1]
    assert_same_tables(manifest.parent / "prefect-True", manifest.parent / "prefect-False")


def test_a_server_that_is_not_there_is_said_once(manifest: Path, cluster: str) -> None:
    url = f"http://127.0.0.1:{free_port()}/api"
    with temporary_settings({PREFECT_API_URL: url}), kept_log() as lines:
        assert run(manifest, "out", cluster).states["done"] == N_SCANS
    told = [line for line in lines if "Prefect" in line]
    assert len(told) == 1
    why = f"the server at PREFECT_API_URL={url} cannot be reached: "
    assert told[0].startswith(f"Prefect does not show this run, which goes on without it: {why}")


class Killer(LogReporter):
    """Kills the run's own server after the second shard, at once or when it has begun to answer."""

    def __init__(self, spared: int, after_s: float) -> None:
        super().__init__()
        self.spared, self.after_s = spared, after_s
        self.killed: list[int] = []

    def shard(self, index: int, states: Mapping[str, int], seconds: float) -> None:
        super().shard(index, states, seconds)
        if index == 1:
            time.sleep(self.after_s)
            told = subprocess.run(
                ["pgrep", "-f", f"flows.prefect_server.server {os.getpid()}$"], capture_output=True, text=True
            )
            for pid in {*map(int, told.stdout.split())} - {self.spared}:
                os.kill(pid, signal.SIGKILL)
                self.killed.append(pid)


@pytest.mark.parametrize("after_s", [0.0, 12.0])
def test_a_run_goes_on_without_its_server(
    manifest: Path, cluster: str, process: OwnServer, after_s: float
) -> None:
    killer = Killer(process.process.pid, after_s)
    began = time.monotonic()
    with kept_log() as lines:
        summary = run(manifest, "one", cluster, reporter=killer)
    # a minute's tries for each of the shards, and 7 seconds' for each event, would take longer
    assert time.monotonic() - began < 120
    assert len(killer.killed) == 1
    assert summary.states["done"] == N_SCANS
    assert len(read_results(str(manifest.parent / "one")).scans) == N_SCANS
    assert sum("Prefect does not show this run" in line for line in lines) == 1
    # the next run of the process has a server of its own, and tells nothing to the one that is gone
    with kept_log() as lines:
        run(manifest, "two", cluster)
    assert [line for line in lines if "Prefect does not show" in line] == []


def test_a_run_inside_a_running_event_loop_leaves_no_warning(
    manifest: Path, cluster: str, server: str
) -> None:
    async def cell() -> RunSummary:
        return run(manifest, "out", cluster)

    with warnings.catch_warnings(), temporary_settings({PREFECT_API_URL: server}):
        warnings.simplefilter("error")
        assert asyncio.run(cell()).states["done"] == N_SCANS


ABOUT = About("flows.index:index", "name", "key", {"request": {}}, threads=2)


def test_a_server_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    import flows.prefect_server.story

    held = threading.Event()
    monkeypatch.setattr("flows.prefect_server.observer.BEGIN_S", 0.5)
    monkeypatch.setattr(flows.prefect_server.story, "reach", lambda url, seconds: held.wait(60))
    done: list[str] = []
    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}),
        kept_log() as lines,
        observer() as observing,
        observing.started(),
    ):
        observing.run(ABOUT, lambda tasks: done.append("once"))
        assert lines == [], "the run's own work waits for no server"
    held.set()
    assert done == ["once"]
    why = "its server was not ready before the run ended"
    assert lines == [f"Prefect does not show this run, which goes on without it: {why}"]


def test_an_error_of_the_body_is_its_own(server: str) -> None:
    def fail() -> Done:
        raise KeyError("mine")

    def failing(tasks: Tasks) -> None:
        tasks.submit("kind", "name", fail).result()

    for wanted in (True, False):
        with (
            temporary_settings({PREFECT_API_URL: server}),
            kept_log() as lines,
            pytest.raises(KeyError, match="mine"),
            observer(wanted) as observing,
            observing.started(),
        ):
            observing.run(ABOUT, failing)
        assert lines == []
    (failed,) = [run for run in asked(server, "flow_runs") if run["name"] == ABOUT.name]
    assert failed["state_type"] == "FAILED"


def test_the_history_of_runs_stays(
    manifest: Path, cluster: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    with kept_log() as lines:
        for out in ("one", "two"):
            run(manifest, out, cluster)
    assert not any("does not show" in line for line in lines)
    # no id of the user, no pickled results
    kept = {path.name for path in (tmp_path / "prefect").iterdir()}
    assert kept <= {"prefect.db", "prefect.db-shm", "prefect.db-wal", "memo_store.toml"}
    # started later, as by the user's own "prefect server start"
    with own_server() as later:
        url = later.url(300)
        runs = {run["name"]: run for run in asked(url, "flow_runs")}
        tasks = Counter(task["flow_run_id"] for task in asked(url, "task_runs") if done(task))
    assert sorted(runs) == [f"manifest.csv to {out}, 10 of 10 shards of 40 scans" for out in ("one", "two")]
    assert all(done(run) and tasks[run["id"]] == 10 for run in runs.values())


def done(run: Mapping[str, Any]) -> bool:
    return bool(run["state_type"] == "COMPLETED")


def test_a_server_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "flows.prefect_server.server._environment", lambda inherited: {**inherited, "PYTHONPATH": "/"}
    )
    monkeypatch.setattr("sys.executable", "/bin/false")
    with own_server() as started, pytest.raises(NoServer, match="its own server did not start"):
        started.url(30)
