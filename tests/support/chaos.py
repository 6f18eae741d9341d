"""A run in a hostile world: its processes are killed at random and started again, and its bucket fails.

Workers and the flow import this module too: two of its scans are none that any data could be made to be.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import flows.workers
import spinenet.cohort.scan
from flows.cohort_run import Way, run_cohort
from flows.workers import Steps
from spinenet.cohort.checkpoints import Detections
from spinenet.cohort.manifests.manifest import Entry
from spinenet.cohort.request import RunRequest
from spinenet.cohort.scan import Decoded, Orders, Outcome
from spinenet.errors import RunError, StorageError

POISON, HANGING = "poison", "hanging"
SECONDS_PER_SCAN = 15.0
DECODED = "CHAOS_DECODED"
"""Variable that names the file to which each decoding adds a line."""

RESTART_AFTER_S = 0.5
FLOW, SCHEDULER, CPU_WORKER, GPU_WORKER = "flow", "scheduler", "cpu", "gpu"


def decode(entry: Entry, orders: Orders) -> Decoded:
    """Decode, but for the scan that kills its process and the one that never ends."""
    _note(entry.scan_id)
    if entry.scan_id == POISON:
        os.kill(os.getpid(), signal.SIGKILL)
    if entry.scan_id != HANGING:
        return flows.workers.decode(entry, orders)
    with patch.object(spinenet.cohort.scan, "read_scan", _never):
        return flows.workers.decode(entry, orders)


def infer(decoded: Decoded, orders: Orders, detections: Detections | None = None) -> Outcome:
    """As it is."""
    return flows.workers.infer(decoded, orders, detections)


STEPS = Steps(decode, infer)


def _never(path: str, **kwargs: object) -> None:
    while True:
        time.sleep(0.05)


def _note(scan_id: str) -> None:
    if DECODED in os.environ:
        # one write of a few bytes at the end is whole, whoever else writes
        with Path(os.environ[DECODED]).open("a", encoding="ascii") as file:
            file.write(scan_id + "\n")


@dataclass
class Process:
    """A process that is started again whenever it has ended."""

    role: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    running: subprocess.Popen[bytes] | None = None
    starts: int = 0

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(
                self.command, env={**os.environ, **self.environment}, stdout=log, stderr=log
            )
        self.starts += 1

    @property
    def alive(self) -> bool:
        return self.running is not None and self.running.poll() is None

    def kill(self) -> None:
        if self.running is not None:
            self.running.kill()
            self.running.wait()


@dataclass
class World:
    """Scheduler, workers and flow of one run.

    Attributes
    ----------
    weights
        How often each role is chosen to be killed.
    kills
        Delivered so far, by role.
    """

    processes: Sequence[Process]
    dice: random.Random
    weights: Mapping[str, float]
    kills: Counter[str] = field(default_factory=Counter)

    @property
    def flow(self) -> Process:
        return next(process for process in self.processes if process.role == FLOW)

    def run(self, kills: int, between_s: tuple[float, float], patience_s: float) -> int:
        """Deliver so many kills, then wait for the flow's own end; its exit status."""
        give_up = time.monotonic() + patience_s
        next_kill = time.monotonic() + self.dice.uniform(*between_s)
        try:
            for process in self.processes:
                process.start()
            while time.monotonic() < give_up:
                ended = self.flow.running.poll() if self.flow.running else None
                if ended in (0, 3):
                    return ended
                if ended == 2:
                    raise AssertionError(f"the flow was refused: {self.flow.log.read_text()[-2000:]}")
                for process in self.processes:
                    if not process.alive:
                        time.sleep(RESTART_AFTER_S)
                        process.start()
                if sum(self.kills.values()) < kills and time.monotonic() > next_kill:
                    self._kill_one()
                    next_kill = time.monotonic() + self.dice.uniform(*between_s)
                time.sleep(0.1)
        finally:
            for process in self.processes:
                process.kill()
        raise AssertionError(f"not finished: {self.flow.log.read_text()[-2000:]}")

    def _kill_one(self) -> None:
        role = self.dice.choices(list(self.weights), list(self.weights.values()))[0]
        victim = self.dice.choice([process for process in self.processes if process.role == role])
        victim.kill()
        self.kills[role] += 1


def processes(
    scheduler: str, flow: Sequence[str], environment: Mapping[str, str], logs: Path
) -> list[Process]:
    """A scheduler at an address, two CPU-class workers, one GPU-class one, and the flow."""
    tests = str(Path(__file__).parents[1])
    common = {
        "PYTHONPATH": os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")]),
        "OMP_NUM_THREADS": "1",
        **environment,
    }
    python = [sys.executable, "-m"]
    where = ["--host", "127.0.0.1", "--port", scheduler.rpartition(":")[2]]
    worker = [*python, "distributed.cli.dask_worker", scheduler, "--no-nanny", "--no-dashboard"]
    worker += ["--nthreads", "1", "--memory-limit", "0", "--death-timeout", "20"]
    worker += ["--preload", "support.chaos"]
    commands = [
        (SCHEDULER, "scheduler", [*python, "distributed.cli.dask_scheduler", *where, "--no-dashboard"]),
        (CPU_WORKER, "cpu-0", [*worker, "--resources", "CPU=1", "--name", "cpu-0"]),
        (CPU_WORKER, "cpu-1", [*worker, "--resources", "CPU=1", "--name", "cpu-1"]),
        (GPU_WORKER, "gpu-0", [*worker, "--resources", "GPU=1", "--name", "gpu-0"]),
        (FLOW, "flow", list(flow)),
    ]
    return [Process(role, command, common, logs / f"{name}.log") for role, name, command in commands]


def main() -> int:
    """The flow: as ``spinenet run``, with the steps of this module."""
    parser = argparse.ArgumentParser()
    for name in ("manifest", "out", "cluster"):
        parser.add_argument(name)
    parser.add_argument("--shard-size", type=int, required=True)
    given = parser.parse_args()
    try:
        request = RunRequest(
            manifest=given.manifest,
            out=given.out,
            weights="synthetic",
            shard_size=given.shard_size,
            seconds_per_scan=SECONDS_PER_SCAN,
        )
        summary = run_cohort(request, Way(given.cluster, steps=STEPS))
    except (RunError, StorageError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 3 if summary.n_failed else 0


if __name__ == "__main__":
    # tasks are pickled by the name of this module, which for this process is another
    from support import chaos

    sys.exit(chaos.main())
