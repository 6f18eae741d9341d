"""Local workers that are killed while the machine is busy: the run ends, with an undisturbed run's tables."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from flows.cores import cores
from support.cohorts import assert_same_tables, command, small_scan, spinenet, tables, write
from support.local_chaos import Round, busy

SCANS = 12
ARGUMENTS = ("--weights", "synthetic", "--shard-size", "2", "--no-prefect")
PATIENCE_S = 900.0
"""Of a round; an undisturbed run of the same scans takes less than a tenth of that."""
STARTS = 3
"""A scan whose worker was killed each time is tried again by the next start, as its user would."""


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest beside ``calm``, the result of an undisturbed run."""
    folder = tmp_path_factory.mktemp("cohort")
    names = [f"s{i}" for i in range(SCANS)]
    for seed, name in enumerate(names):
        write(folder / name, small_scan(seed), name)
    manifest = folder / "manifest.csv"
    manifest.write_text("scan_id,path\n" + "".join(f"{n},{n}\n" for n in names), encoding="utf-8")
    calm = spinenet("run", manifest, folder / "calm", *ARGUMENTS, timeout=PATIENCE_S)
    assert calm.returncode == 0, calm.stderr
    return manifest


@pytest.mark.timeout(4000)
@pytest.mark.parametrize(
    ("number", "kills"), [(0, 2), *(pytest.param(n, 6, marks=pytest.mark.slow) for n in range(1, 11))]
)
def test_killed_local_workers_cost_nothing(
    cohort: Path, tmp_path: Path, number: int, kills: int, capsys: pytest.CaptureFixture[str]
) -> None:
    out, run = tmp_path / "out", ("run", cohort, tmp_path / "out", *ARGUMENTS)
    chaos = Round(command(*run), tmp_path / "run.log", random.Random(number), kills)
    with busy(2 * cores()):
        status = chaos.run(PATIENCE_S)
    said = chaos.log.read_text(encoding="utf-8")
    assert status in (0, 3), said
    lost = given_up(out)
    with capsys.disabled():
        sys.stdout.write(
            f"\nround {number}: {chaos.seconds:.0f} s, kills {dict(chaos.delivered)}, status {status}, "
            f"{lost} scans left to the next start\n"
        )
    assert sum(chaos.delivered.values()) > 0
    for _ in range(STARTS):
        if lost:
            again = spinenet(*run, timeout=PATIENCE_S)
            assert again.returncode in (0, 3), again.stderr
            lost = given_up(out)
    assert_same_tables(cohort.parent / "calm", out)


def given_up(out: Path) -> int:
    """Scans that failed, as those may whose worker was killed each time; nothing else is wrong with one."""
    reasons = tables(out)["scans"]["reason"].dropna()
    assert set(reasons.astype(str)) <= {"worker_lost"}
    return len(reasons)
