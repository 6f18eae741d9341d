"""Other shards and other workers give the same tables; networks are loaded once by each GPU-class worker."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flows.clusters.address import CPU, GPU, Cluster, cluster_address, nanny
from flows.clusters.certificates import write_certificates
from spinenet.cohort.tables import TABLES
from spinenet.weights.loaded import THREADS_VARIABLE
from support.cohorts import Undisturbed, assert_same_tables, spinenet, tables

THREADS = {THREADS_VARIABLE: "1"}
"""Of each inference: several processes with several threads each would be in each other's way."""


def one_worker() -> dict[str, Any]:
    """Both classes in one process."""
    return {"both": nanny(2, {CPU: 1, GPU: 1}, THREADS)}


def three_workers() -> dict[str, Any]:
    """Two of them GPU-class."""
    two = {f"gpu-{index}": nanny(1, {GPU: 1}, THREADS) for index in range(2)}
    return {"cpu-0": nanny(1, {CPU: 1}, {})} | two


@pytest.fixture(scope="module")
def three() -> Iterator[Cluster]:
    with cluster_address("local", three_workers) as cluster:
        yield cluster


def run(undisturbed: Undisturbed, out: Path, cluster: Cluster, shard_size: int) -> Path:
    assert cluster.security is not None
    certificates = write_certificates(cluster.security, out.with_name("certificates"))
    arguments = ("--weights", "synthetic", "--shard-size", str(shard_size), "--cluster", cluster.address)
    with pytest.MonkeyPatch.context() as environment:
        for name, value in certificates.items():
            environment.setenv(name, value)
        told = spinenet("run", undisturbed.manifest, out, *arguments)
    assert told.returncode == 3, told.stderr
    return out


def assert_close_tables(first: Path, second: Path) -> None:
    """Equal but for timings, and reals within 1e-5."""
    before, after = tables(first), tables(second)
    for name in TABLES:
        pd.testing.assert_frame_equal(before[name], after[name], check_exact=False, rtol=1e-5, atol=1e-5)


def loads(*outs: Path) -> Counter[str]:
    """How often each worker loaded networks in these runs."""
    told: Counter[str] = Counter()
    for out in outs:
        for file in (out / "_run" / "commits").iterdir():
            told.update(json.loads(file.read_text(encoding="utf-8"))["workers"].get("load", {}))
    return told


@pytest.mark.slow
def test_three_workers_other_shards_and_a_second_run(
    undisturbed: Undisturbed, three: Cluster, tmp_path: Path
) -> None:
    first, second = (run(undisturbed, tmp_path / name, three, shard_size=7) for name in ("first", "second"))
    assert_close_tables(undisturbed.out, first)
    assert loads(first) == {"gpu-0 GPU": 1, "gpu-1 GPU": 1}
    assert loads(first, second) == loads(first), "warm from one run to the next"
    assert_same_tables(first, second)
    for name in ("vertebrae", "grades"):
        file = f"{name}/part-00000.parquet"
        assert (first / file).read_bytes() == (second / file).read_bytes()


@pytest.mark.slow
def test_one_worker_and_one_shard(undisturbed: Undisturbed, tmp_path: Path) -> None:
    with cluster_address("local", one_worker) as cluster:
        out = run(undisturbed, tmp_path / "out", cluster, shard_size=30)
    assert_close_tables(undisturbed.out, out)
    assert loads(out) == {"both CPU+GPU": 1}
