"""How much of a run the GPU-class workers are idle, and how much the CPU-class ones.

``PYTHONPATH=. python tests/benchmarks/gpu_idle.py [--subjects 16] [--shard-size 4]`` makes a synthetic cohort
as DICOM, reads it with the bundled weights through the real flow on a local cluster, and says from Dask's
own record of every task which part of the time between a class's first and last task its workers had none.
The cohort is read twice: the first run also loads the networks.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import dask
from distributed import get_task_stream

from flows.clusters.address import cluster_address, connected, wait_for_slots
from flows.clusters.certificates import write_certificates
from flows.cohort_run import Way, run_cohort
from spinenet.cohort.request import RunRequest
from spinenet.synthetic.cohort import write_cohort
from spinenet.weights.names import SYNTHETIC

MOST_IDLE = 0.10
CLASSES = {"decode": "CPU-class (decoding)", "infer": "GPU-class (inference)"}


def say(text: str) -> None:
    """Tell the user a line."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def idle(tasks: list[dict[str, Any]], step: str) -> dict[str, tuple[float, float, int]]:
    """For each worker that did ``step``: (part of the time idle, seconds from first to last, tasks)."""
    spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for task in tasks:
        if str(task["key"]).split("-")[0] == step:
            computed = [part for part in task["startstops"] if part["action"] == "compute"]
            spans[task["worker"]] += [(part["start"], part["stop"]) for part in computed]
    told = {}
    for worker, times in spans.items():
        whole = max(stop for _, stop in times) - min(start for start, _ in times)
        told[worker] = (1 - at_work(times) / whole, whole, len(times))
    return told


def at_work(times: list[tuple[float, float]]) -> float:
    """Seconds in which at least one of the tasks was computed: a worker may compute several at a time."""
    seconds, end = 0.0, 0.0
    for start, stop in sorted(times):
        seconds += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return seconds


def main() -> None:
    """Make the cohort, read it twice, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--subjects", type=int, default=16)
    parser.add_argument("--shard-size", type=int, default=4)
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="spinenet-idle-") as scratch,
        cluster_address("local") as cluster,
        connected(cluster) as client,
    ):
        assert cluster.security is not None
        os.environ.update(write_certificates(cluster.security, Path(scratch, "certificates")))
        dask.config.refresh()
        manifest = write_cohort(Path(scratch, "cohort"), arguments.subjects, 0)
        slots = wait_for_slots(client)
        say(f"{arguments.subjects} scans, shards of {arguments.shard_size}; {slots}")
        for attempt in ("first run", "second run, networks warm"):
            with get_task_stream(client) as stream:
                request = RunRequest(
                    manifest=str(manifest),
                    out=str(Path(scratch, attempt.split()[0])),
                    weights=SYNTHETIC,
                    shard_size=arguments.shard_size,
                )
                summary = run_cohort(request, Way(cluster.address))
            say(f"{attempt}: {summary.states['done']} of {summary.n_rows} done in {summary.seconds:.1f} s")
            for step, name in CLASSES.items():
                for worker, (part, whole, tasks) in idle(stream.data, step).items():
                    say(f"  {name} {worker}: {tasks} tasks in {whole:.1f} s, idle {part:.1%} of it")
    say(f"of GPU-class workers at most {MOST_IDLE:.0%} is wanted where decoding keeps up")


if __name__ == "__main__":
    main()
