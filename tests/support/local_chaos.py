"""Runs on local workers that are killed and frozen, on a machine that others keep busy."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

CPU_WORKER, GPU_WORKER, STARTING, ALL, FREEZE = "cpu", "gpu", "starting", "all", "freeze"
KINDS = {CPU_WORKER: 3, GPU_WORKER: 3, STARTING: 2, ALL: 1, FREEZE: 1}
"""How often each is chosen: a worker of a class, one that starts, all at once, or one to be frozen."""
FROZEN_S = 5.0


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Keep the machine's cores busy."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


@dataclass
class Round:
    """One run with its kills.

    Attributes
    ----------
    first_s, between_s
        Fewest and most seconds from the start of workers to the first kill, and between kills.
    delivered
        Kills by kind.
    """

    command: Sequence[str]
    log: Path
    dice: random.Random
    kills: int
    first_s: tuple[float, float] = (0.0, 2.0)
    between_s: tuple[float, float] = (2.0, 8.0)
    delivered: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def run(self, patience_s: float) -> int:
        """The command's exit status; a process that does not end in time is an error."""
        began = time.monotonic()
        with self.log.open("wb") as log:
            running = subprocess.Popen(self.command, stdout=log, stderr=log, start_new_session=True)
        root, due = psutil.Process(running.pid), began
        try:
            while running.poll() is None:
                if time.monotonic() - began > patience_s:
                    raise AssertionError(f"hangs: {self.log.read_text(encoding='utf-8')[-2000:]}")
                workers, starting = _workers(root)
                if not self.delivered and len(workers) < 2:
                    # the first kill comes soon after the workers are there: few scans are read in seconds
                    due = time.monotonic() + self.dice.uniform(*self.first_s)
                elif sum(self.delivered.values()) < self.kills and time.monotonic() > due:
                    self._strike(workers, starting)
                    due = time.monotonic() + self.dice.uniform(*self.between_s)
                time.sleep(0.1)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            running.wait()
            self.seconds = time.monotonic() - began
        return running.returncode

    def _strike(self, workers: Sequence[psutil.Process], starting: Sequence[psutil.Process]) -> None:
        kind = self.dice.choices(list(KINDS), list(KINDS.values()))[0]
        if kind == STARTING:
            victims = list(starting) or list(workers)[-1:]
        elif kind in (ALL, FREEZE):
            victims = [*workers, *starting] if kind == ALL else list(workers)[:1]
        else:
            victims = [worker for worker in workers if worker.name().startswith(f"spinenet {kind}")]
        for victim in victims:
            with suppress(psutil.NoSuchProcess):
                (victim.suspend if kind == FREEZE else victim.kill)()
        if kind == FREEZE and victims:
            time.sleep(FROZEN_S)
            with suppress(psutil.NoSuchProcess):
                victims[0].resume()
        self.delivered[kind] += bool(victims)


def _workers(root: psutil.Process) -> tuple[list[psutil.Process], list[psutil.Process]]:
    """Workers that have taken their name, and those that have not yet."""
    named, starting = [], []
    with suppress(psutil.NoSuchProcess):
        for process in root.children():
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                if process.name().startswith("spinenet "):
                    named.append(process)
                elif "spawn_main" in " ".join(process.cmdline()):
                    starting.append(process)
    return named, starting
