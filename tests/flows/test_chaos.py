"""A cohort on S3 whose processes are killed and whose requests fail ends with an undisturbed run's tables."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import fsspec
import pandas as pd
import pytest

from flows.prefect_server.server import free_port
from spinenet.cohort.tables import TABLES
from support import chaos, flaky_proxy
from support.chaos import CPU_WORKER, FLOW, GPU_WORKER, HANGING, POISON, SCHEDULER, World
from support.cohorts import BROKEN, small_scan, tables, write
from support.object_stores import ObjectStore
from support.prefect_home import home

SUBJECTS, SHARD_SIZE = 8, 4
BETWEEN_S = (3.0, 7.0)
"""Shortest and longest time between two kills."""
WEIGHTS = {CPU_WORKER: 0.4, GPU_WORKER: 0.35, SCHEDULER: 0.12, FLOW: 0.13}
FAULTS = 0.05
CHOSEN = ("not_dicom", "bad_pixels", "missing_tags", "not_sagittal", "path_missing")
PROXY = flaky_proxy.__file__


def cohort(folder: Path, size: int) -> Path:
    """So many rows: five broken, one that kills its worker, one without end, and small scans otherwise."""
    scans = [small_scan(seed) for seed in range(SUBJECTS)]
    names = [f"scan-{i:03d}" for i in range(size - 2 - len(CHOSEN))]
    for i, name in enumerate(names):
        base = scans[i % SUBJECTS]
        write(folder / name, dataclasses.replace(base, volume=(base.volume * (1 - 0.004 * i)).round()), name)
    for name in (POISON, HANGING):
        write(folder / name, scans[0], name)
    for reason in CHOSEN:
        BROKEN[reason](folder / f"bad-{reason}", scans[0], reason)
    rows = [*names, POISON, HANGING, *(f"bad-{reason}" for reason in CHOSEN)]
    random.Random(1).shuffle(rows)
    manifest = folder / "manifest.csv"
    manifest.write_text(
        "\n".join(["scan_id,path", *(f"{row},{row}" for row in rows)]) + "\n", encoding="utf-8"
    )
    return manifest


def world(manifest: Path, out: str | Path, environment: Mapping[str, str], logs: Path) -> World:
    """Processes that run a manifest, none of them started."""
    logs.mkdir(parents=True)
    scheduler = f"tcp://127.0.0.1:{free_port()}"
    arguments = [str(manifest), str(out), scheduler, "--shard-size", str(SHARD_SIZE)]
    flow = [sys.executable, "-m", "support.chaos", *arguments]
    return World(chaos.processes(scheduler, flow, environment, logs), random.Random(11), WEIGHTS)


@pytest.fixture
def proxy(s3: ObjectStore, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Endpoint of a proxy that makes trouble, and the file of its counts."""
    port, counts = free_port(), tmp_path / "requests.json"
    arguments = ["--listen", str(port), "--to", s3.address, "--faults", str(FAULTS), "--seed", "7"]
    with subprocess.Popen(
        [sys.executable, str(PROXY), *arguments, "--counts", str(counts)], stdout=subprocess.DEVNULL
    ) as process:
        try:
            yield f"http://127.0.0.1:{port}", counts
        finally:
            process.terminate()


@pytest.fixture
def prefect_url(tmp_path: Path) -> Iterator[str]:
    """A Prefect server that outlives the flows, as a deployment has it."""
    port = free_port()
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    environment = {
        **os.environ,
        "PREFECT_HOME": str(home(tmp_path / "prefect")),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    with (tmp_path / "prefect.log").open("wb") as log:
        server = subprocess.Popen([*command, "--no-ui"], env=environment, stdout=log, stderr=log)
    try:
        give_up = time.monotonic() + 120
        while time.monotonic() < give_up and server.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.3)
        yield f"http://127.0.0.1:{port}/api"
    finally:
        server.kill()
        server.wait()


@pytest.mark.s3
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(("size", "kills"), [(80, 12), pytest.param(200, 30, marks=pytest.mark.slow)])
def test_nothing_is_lost_or_counted_twice(
    size: int,
    kills: int,
    s3: ObjectStore,
    proxy: tuple[str, Path],
    prefect_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    manifest = cohort(tmp_path / "cohort", size)
    calm, logs = tmp_path / "calm", tmp_path / "logs"
    # with as many threads as there are in the other world, values are the same to the last bit
    began = time.monotonic()
    assert world(manifest, calm, {"PREFECT_API_URL": prefect_url}, logs / "calm").run(0, BETWEEN_S, 600) == 3
    calm_seconds, began = time.monotonic() - began, time.monotonic()

    endpoint, counts = proxy
    decoded = tmp_path / "decoded.txt"
    with s3.folder() as out:
        told = {**s3.at(endpoint), chaos.DECODED: str(decoded), "PREFECT_API_URL": prefect_url}
        chaotic = world(manifest, out, told, logs / "chaotic")
        assert chaotic.run(kills, BETWEEN_S, patience_s=900) == 3
        chaotic_seconds = time.monotonic() - began
        disturbed = tmp_path / "disturbed"
        fsspec.filesystem("s3", **s3.options()).get(out, str(disturbed), recursive=True)

    requests = json.loads(counts.read_text(encoding="utf-8"))
    times = Counter(decoded.read_text(encoding="ascii").split())
    # the two that never end well are tried again on purpose
    repeated = sum(count - 1 for name, count in times.items() if name not in (POISON, HANGING))
    with capsys.disabled():
        sys.stdout.write(
            f"\n{size} scans: undisturbed {calm_seconds:.0f} s, disturbed {chaotic_seconds:.0f} s; "
            f"kills {dict(chaotic.kills)}, flow started {chaotic.flow.starts} times; requests {requests}; "
            f"{repeated} scans decoded again, {POISON} {times[POISON]} times, {HANGING} {times[HANGING]}\n"
        )
    assert sum(chaotic.kills.values()) > kills / 2
    assert requests["faults"] > 0
    same_tables(calm, disturbed)
    scans = tables(disturbed)["scans"].set_index("scan_id")
    assert len(scans) == size
    assert scans.index.is_unique
    assert scans.loc[POISON, "reason"] == "worker_lost"
    assert scans.loc[HANGING, "reason"] == "time_limit"
    assert (scans["status"] == "done").sum() == size - 2 - len(CHOSEN)
    # what was in flight when a flow ended or lost its scheduler, or lay in a worker, and no more
    in_flight, in_a_worker = SHARD_SIZE * 5, 8
    workers = chaotic.kills[CPU_WORKER] + chaotic.kills[GPU_WORKER]
    assert repeated <= (chaotic.flow.starts - 1) * in_flight + workers * in_a_worker


def same_tables(first: Path, second: Path) -> None:
    """Value for value; of a scan that failed by its worker's end, all but the words."""
    before, after = tables(first), tables(second)
    for name in TABLES:
        columns = [column for column in before[name].columns if column != "detail"]
        pd.testing.assert_frame_equal(before[name][columns], after[name][columns], check_exact=True)
