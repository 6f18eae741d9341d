"""The same scans through ``spinenet run`` and through the drop-in class one by one: seconds and CPU seconds.

``PYTHONPATH=.:tests python tests/benchmarks/run_beside_class.py [--scans 16] [--rounds 2]`` draws a synthetic
cohort as DICOM and reads it both ways in turn, each as a process of its own from its start to its end. CPU
seconds are those of each process of the tree, user and system, by what the process is.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psutil

from spinenet.synthetic.cohort import write_cohort

OTHER = "other"
EVERY_S = 0.05
"""Between two looks at the processes; what one does after the last look is counted with the rest."""

CLASS = """
import sys
import spinenet
from spinenet import io
net = spinenet.SpineNet(device="cpu", verbose=False, weights="synthetic")
rows = 0
for folder in sys.argv[1:]:
    scan = io.load_dicoms_from_folder(folder, require_extensions=False)
    found = net.detect_vb(scan.volume, scan.pixel_spacing)
    rows += len(net.grade_ivds(net.get_ivds_from_vert_dicts(found, scan.volume)))
print(rows)
"""


@dataclass
class Measured:
    """One way, once.

    Attributes
    ----------
    cpu
        (user, system) seconds by what the process is.
    """

    seconds: float = 0.0
    cpu: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def total(self) -> float:
        """CPU seconds of all processes."""
        return sum(user + system for user, system in self.cpu.values())


def say(text: str) -> None:
    """Tell the user a line."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def kind_of(process: psutil.Process, root: int) -> str:
    """What a process of the tree is; local workers call themselves by their name."""
    if process.pid == root:
        return "main"
    command = " ".join(process.cmdline())
    if "flows.prefect_server.server" in command or "prefect" in command:
        return "Prefect server"
    if process.name().startswith("spinenet "):
        return f"{process.name().split()[1].rstrip('0123456789-')} worker"
    return OTHER


def measured(command: Sequence[str]) -> Measured:
    """Run a command to its end and look at its processes meanwhile."""
    before, began = os.times(), time.monotonic()
    seen: dict[int, tuple[str, float, float]] = {}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as running:
        root = psutil.Process(running.pid)
        while running.poll() is None:
            for process in _tree(root):
                try:
                    with process.oneshot():
                        times, kind = process.cpu_times(), kind_of(process, root.pid)
                except psutil.Error:
                    continue
                # one that has just ended has no name any more
                kind = seen[process.pid][0] if kind == OTHER and process.pid in seen else kind
                seen[process.pid] = (kind, times.user, times.system)
            time.sleep(EVERY_S)
    seconds, after = time.monotonic() - began, os.times()
    if running.returncode not in (0, 3):
        raise SystemExit(f"ended with {running.returncode}: {' '.join(command)}")
    cpu: dict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for kind, user, system in seen.values():
        cpu[kind] = (cpu[kind][0] + user, cpu[kind][1] + system)
    whole = (after.children_user - before.children_user, after.children_system - before.children_system)
    cpu["main"] = (
        cpu["main"][0] + whole[0] - sum(user for user, _ in cpu.values()),
        cpu["main"][1] + whole[1] - sum(system for _, system in cpu.values()),
    )
    return Measured(seconds, dict(cpu))


def _tree(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def told(way: str, one: Measured) -> str:
    """A line for each process kind."""
    lines = [f"{way}: {one.seconds:.1f} s, {one.total:.1f} CPU s"]
    for kind, (user, system) in sorted(one.cpu.items()):
        lines.append(f"    {kind:15s} {user:6.1f} user {system:6.1f} system")
    return "\n".join(lines)


def main() -> None:
    """Both ways in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--scans", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("options", nargs="*", help="more arguments of run, after --")
    given = parser.parse_args()
    ways: Mapping[str, list[Measured]] = {"run": [], "class": []}
    with tempfile.TemporaryDirectory(prefix="spinenet-beside-") as scratch:
        manifest = write_cohort(Path(scratch, "cohort"), given.scans, 0)
        folders = sorted(map(str, Path(scratch, "cohort", "dicom").iterdir()))
        for number in range(given.rounds):
            out = Path(scratch, f"out-{number}")
            command = ["-m", "flows.cli", "run", str(manifest), str(out), "--weights", "synthetic"]
            for way, arguments in (
                ("run", [*command, *given.options]),
                ("class", ["-c", CLASS, *folders]),
            ):
                ways[way].append(measured([sys.executable, *arguments]))
                say(told(f"round {number}, {way}", ways[way][-1]))
    run, alone = ways["run"], ways["class"]
    seconds = median(one.seconds for one in run) / median(one.seconds for one in alone)
    cpu = median(one.total for one in run) / median(one.total for one in alone)
    say(
        f"{given.scans} scans, median of {given.rounds}: "
        f"run / class = {seconds:.2f} in seconds, {cpu:.2f} in CPU seconds"
    )


if __name__ == "__main__":
    main()
