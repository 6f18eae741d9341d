"""Other shards and other workers give the same tables; networks are loaded once by each GPU-class worker."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cohorts import assert_same_tables, spinenet, tables
from conftest import Undisturbed

from flows.cluster import CPU, GPU, THREADS_VARIABLE, cluster_address, cores, nanny
from spinenet.cohort.tables import TABLES

THREADS = {THREADS_VARIABLE: str(cores())}
"""As a local cluster of one GPU-class worker gives it: other numbers of threads add up in another order."""


def one_worker() -> dict[str, Any]:
    """Both classes in one process."""
    return {"both": nanny(2, {CPU: 1, GPU: 1}, THREADS)}


def three_workers() -> dict[str, Any]:
    """Two of them GPU-class."""
    two = {f"gpu-{index}": nanny(1, {GPU: 1}, THREADS) for index in range(2)}
    return {"cpu-0": nanny(1, {CPU: 1}, {})} | two


@pytest.fixture(scope="module")
def three() -> Iterator[str]:
    with cluster_address("local", three_workers) as address:
        yield address


def run(undisturbed: Undisturbed, out: Path, address: str, shard_size: int) -> Path:
    arguments = ("--weights", "synthetic", "--shard-size", str(shard_size), "--cluster", address)
    told = spinenet("run", undisturbed.manifest, out, *arguments)
    assert told.returncode == 3, told.stderr
    return out


def assert_close_tables(first: Path, second: Path) -> None:
    """Equal but for timings, and reals within 1e-5."""
    before, after = tables(first), tables(second)
    for name in TABLES:
        pd.testing.assert_frame_equal(before[name], after[name], check_exact=False, rtol=0, atol=1e-5)


def loads(*outs: Path) -> Counter[str]:
    """How often each worker loaded networks in these runs."""
    told: Counter[str] = Counter()
    for out in outs:
        for file in (out / "_run" / "commits").iterdir():
            told.update(json.loads(file.read_text(encoding="utf-8"))["workers"].get("load", {}))
    return told


def test_three_workers_other_shards_and_a_second_run(
    undisturbed: Undisturbed, three: str, tmp_path: Path
) -> None:
    other = run(undisturbed, tmp_path / "other", three, shard_size=7)
    assert_close_tables(undisturbed.out, other)
    assert loads(other) == {"gpu-0 GPU": 1, "gpu-1 GPU": 1}
    same = run(undisturbed, tmp_path / "same", three, shard_size=4)
    assert_same_tables(undisturbed.out, same)
    for name in ("vertebrae", "grades"):
        file = f"{name}/part-00000.parquet"
        assert (same / file).read_bytes() == (undisturbed.out / file).read_bytes()
    assert loads(other, same) == {"gpu-0 GPU": 1, "gpu-1 GPU": 1}, "warm from one run to the next"


@pytest.mark.slow
def test_one_worker_and_one_shard(undisturbed: Undisturbed, tmp_path: Path) -> None:
    with cluster_address("local", one_worker) as address:
        out = run(undisturbed, tmp_path / "out", address, shard_size=30)
    assert_close_tables(undisturbed.out, out)
    assert loads(out) == {"both CPU+GPU": 1}
