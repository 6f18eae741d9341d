"""What a run costs beside decoding and inference, and how its memory grows, beside plain Dask futures.

``PYTHONPATH=.:tests python tests/benchmarks/orchestration.py [--scans 10000 100000]`` sends a manifest of
each length through the real flow on a local cluster, with tasks that do nothing (``support.no_op_steps``),
then starts the finished run again, asks for its status, and sends the tasks of the shortest manifest through
a loop of plain futures with the same window. Each is a process of its own, so that its memory is its own. At
the end stands what a large run would come to by these figures.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
from distributed import Future, as_completed

from flows.clusters.address import CPU, GPU, cluster_address, connected, wait_for_slots
from flows.cohort_run import Way, run_cohort
from flows.window import Window
from spinenet.cohort.manifests.manifest import entries, read_manifest
from spinenet.cohort.request import RunRequest
from spinenet.cohort.scan import Orders
from spinenet.cohort.status import read_status
from spinenet.settings import SHARD_SIZE, Settings
from spinenet.storage import Store
from spinenet.weights.loaded import WeightsRef
from spinenet.weights.names import SYNTHETIC
from support.no_op_steps import STEPS

SAMPLE_SECONDS = 0.5
MOST_RATIO, MOST_GROWTH = 1.3, 1.10
PER_LISTING = 1000
"""Names that one answer of S3 to a listing holds."""

BIG_SCANS, BIG_WORKERS, BIG_GPUS, GPU_SECONDS = 1_000_000, 100, 20, 1.0
"""The run that is estimated: of its workers so many are GPU-class, and take so long for a scan."""


def say(text: str) -> None:
    """Tell the user a line."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def write_manifest(folder: Path, scans: int) -> Path:
    """A manifest of scans that are not there."""
    manifest = folder / f"manifest-{scans}.csv"
    with manifest.open("w", encoding="utf-8") as file:
        file.write("scan_id,path,subject_id,site\n")
        for i in range(scans):
            subject = f"subject-{i // 2:07d}"
            file.write(f"scan-{i:07d},dicom/{subject}/session-{i % 2},{subject},leeds\n")
    return manifest


@dataclass
class Memory:
    """Peaks of resident memory in MiB: of this process, of the workers' and of Prefect's server."""

    peaks: dict[str, float] = field(default_factory=dict)
    _kinds: dict[int, str] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Sample during the block."""
        watcher = threading.Thread(target=self._watch)
        watcher.start()
        try:
            yield
        finally:
            self._stop.set()
            watcher.join()

    def _watch(self) -> None:
        process = psutil.Process()
        while not self._stop.wait(SAMPLE_SECONDS):
            for one in (process, *process.children(recursive=True)):
                try:
                    kind = self._kind(one, process)
                    size = one.memory_info().rss / 2**20
                except psutil.Error:
                    continue
                self.peaks[kind] = max(self.peaks.get(kind, 0.0), size)

    def _kind(self, one: psutil.Process, own: psutil.Process) -> str:
        if one.pid not in self._kinds:
            line = " ".join(one.cmdline())
            kinds = {"flows.prefect_server.server": "Prefect server", "spawn_main": "a worker"}
            found = (kind for part, kind in kinds.items() if part in line)
            self._kinds[one.pid] = "flow and scheduler" if one.pid == own.pid else next(found, "other")
        return self._kinds[one.pid]


class Timekeeper:
    """Notes when the first scan came and the last commit was made, and says peaks on the way."""

    def __init__(self, memory: Memory) -> None:
        self.memory, self.done, self.n_rows = memory, 0, 0
        self.began = time.monotonic()
        self.first = self.last = 0.0

    def waiting(self, what: str) -> None:
        """See :class:`flows.progress.Reporter`."""

    def started(self, n_rows: int, n_before: int, n_shards: int) -> None:
        """See :class:`flows.progress.Reporter`."""
        self.n_rows = n_rows

    def scan(self, scan_id: str, reason: str | None) -> None:
        """See :class:`flows.progress.Reporter`."""
        self.first = self.first or time.monotonic()

    def shard(self, index: int, states: Mapping[str, int], seconds: float) -> None:
        """See :class:`flows.progress.Reporter`."""
        self.last, before = time.monotonic(), self.done
        self.done += sum(states.values())
        if self.done * 10 // self.n_rows > before * 10 // self.n_rows:
            took = self.last - self.first
            sys.stderr.write(f"    {self.done} scans in {took:.0f} s; peaks {_peaks(vars(self.memory))}\n")

    def finished(self) -> None:
        """See :class:`flows.progress.Reporter`."""


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Requests that an object store would have got during the block, by kind."""
    told: Counter[str] = Counter()
    weigh: Mapping[str, Callable[[Any, Any], int]] = {
        "read": lambda result, asked: 1,
        "read_many": lambda result, asked: len(asked),
        "exists": lambda result, asked: 1,
        "sizes": lambda result, asked: 1 + len(result) // PER_LISTING,
        "remove": lambda result, asked: len(asked),
        "write": lambda result, asked: 1,
        "write_file": lambda result, asked: 1,
        "digest_of": lambda result, asked: 1,
        "create": lambda result, asked: 1,
    }
    before = {name: getattr(Store, name) for name in weigh if hasattr(Store, name)}

    def counting(name: str) -> Callable[..., Any]:
        def call(store: Store, asked: Any, *more: Any, **named: Any) -> Any:
            listed = asked if isinstance(asked, str) else list(asked)
            result = before[name](store, listed, *more, **named)
            told[name] += weigh[name](result, listed)
            return result

        return call

    for name in before:
        setattr(Store, name, counting(name))
    try:
        yield told
    finally:
        for name, method in before.items():
            setattr(Store, name, method)


def through_the_flow(manifest: Path, out: Path) -> dict[str, Any]:
    """The real run, with tasks that do nothing."""
    memory = Memory()
    keeper = Timekeeper(memory)
    with counted() as requests, memory.watched():
        summary = run_cohort(asked(manifest, out), Way(steps=STEPS), keeper)
    ended = time.monotonic()
    if summary.states["done"] != summary.n_rows:
        raise SystemExit(f"not all rows are done: {summary.states}")
    return {
        "rows": summary.n_rows,
        "starting": keeper.first - keeper.began,
        "working": ended - keeper.first,
        "tables": ended - keeper.last,
        "peaks": memory.peaks,
        "requests": requests,
    }


def asked(manifest: Path, out: Path) -> RunRequest:
    """A run with networks that are not used."""
    return RunRequest(manifest=str(manifest), out=str(out), weights=SYNTHETIC)


def started_again(manifest: Path, out: Path) -> dict[str, Any]:
    """The command once more, on a run that is finished."""
    began, memory = time.monotonic(), Memory()
    with counted() as requests, memory.watched():
        summary = run_cohort(asked(manifest, out), Way(steps=STEPS))
    seconds = time.monotonic() - began
    if summary.n_before != summary.n_rows:
        raise SystemExit(f"only {summary.n_before} rows were done before")
    return {"seconds": seconds, "requests": requests, "peaks": memory.peaks}


def asked_for_status(manifest: Path, out: Path) -> dict[str, Any]:
    """Counts alone, of a run that is finished."""
    began = time.monotonic()
    with counted() as requests:
        account = read_status(Store.at(str(out)))
    seconds = time.monotonic() - began
    if sum(account.states.values()) != account.n_rows:
        raise SystemExit(f"the states are not {account.n_rows}: {account.states}")
    return {"seconds": seconds, "requests": requests}


def through_plain_futures(manifest: Path, out: Path) -> dict[str, Any]:
    """The same tasks on the same workers in a loop that anybody would write; no plan, commit or table."""
    memory = Memory()
    with memory.watched(), cluster_address("local") as address, connected(address) as client:
        most = Window.over(wait_for_slots(client)).size
        orders = Orders(WeightsRef(SYNTHETIC, SYNTHETIC, "f" * 64), Settings())
        waiting = iter(entries(read_manifest(str(manifest)).table))
        began, rows = time.monotonic(), 0

        def submit(some: Iterable[Any]) -> list[Future[Any]]:
            started = []
            for entry in some:
                prepared = client.submit(STEPS.decode, entry, orders, resources={CPU: 1}, pure=False)
                started.append(
                    client.submit(STEPS.infer, prepared, orders, None, resources={GPU: 1}, pure=False)
                )
            return started

        flying = as_completed(submit(islice(waiting, most)), loop=client.loop)
        for future in flying:
            rows += len(future.result().rows.grades)
            for started in submit(islice(waiting, 1)):
                flying.add(started)
        return {"working": time.monotonic() - began, "grades": rows, "peaks": memory.peaks}


PARTS: Mapping[str, Callable[[Path, Path], dict[str, Any]]] = {
    "flow": through_the_flow,
    "again": started_again,
    "status": asked_for_status,
    "plain": through_plain_futures,
}


def in_a_process(part: str, manifest: Path, out: Path) -> dict[str, Any]:
    """A part's figures, from a process that does nothing else."""
    command = [sys.executable, __file__, "--part", part, str(manifest), str(out)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def measure(folder: Path, scans: int, plain: bool) -> dict[str, dict[str, Any]]:
    """All parts for one manifest, told as they come."""
    manifest, out = write_manifest(folder, scans), folder / f"out-{scans}"
    shards = -(-scans // SHARD_SIZE)
    told = {"flow": in_a_process("flow", manifest, out)}
    flow = told["flow"]
    say(f"{scans} scans in {shards} shards")
    each = 1000 * flow["working"] / scans
    say(f"  flow: {each:.2f} ms per scan, with {flow['tables']:.1f} s for the tables; peaks {_peaks(flow)}")
    say(f"    {flow['starting']:.1f} s to start before; requests: {_requests(flow)}")
    for part, name in (("again", "started again when finished"), ("status", "status, counts alone")):
        told[part] = in_a_process(part, manifest, out)
        say(f"  {name}: {told[part]['seconds']:.2f} s; requests: {_requests(told[part])}")
    shutil.rmtree(out)
    if plain:
        told["plain"] = in_a_process("plain", manifest, out)
        alone = 1000 * told["plain"]["working"] / scans
        say(f"  plain futures: {alone:.2f} ms per scan; peaks {_peaks(told['plain'])}")
        say(f"  ratio: {each / alone:.2f} (at most {MOST_RATIO} is wanted)")
    return told


def estimate(flow: Mapping[str, Any]) -> None:
    """What a large run comes to by the figures of a smaller one."""
    scans = flow["rows"]
    shards, big_shards = -(-scans // SHARD_SIZE), -(-BIG_SCANS // SHARD_SIZE)
    each = (flow["working"] - flow["tables"]) / scans
    requests = round(sum(flow["requests"].values()) / shards * big_shards, -3)
    hours, tables = each * BIG_SCANS / 3600, flow["tables"] / scans * BIG_SCANS / 60
    working = GPU_SECONDS * BIG_SCANS / BIG_GPUS / 3600
    say(f"{BIG_SCANS} scans on {BIG_WORKERS} workers, {BIG_GPUS} GPU-class, by the figures of {scans}:")
    say(f"  flow and scheduler give out {1 / each:.0f} scans a second and all in {hours:.1f} h, so they keep")
    say(f"  {BIG_GPUS} GPU-class workers busy that take {each * BIG_GPUS:.2f} s or more for a scan;")
    say(f"  at {GPU_SECONDS:g} s a scan the run takes {working:.0f} h, and the tables then {tables:.0f} min;")
    say(f"  {requests:.0f} requests to storage, {requests / BIG_SCANS:.2f} a scan, beside reading the scans.")
    say(
        "  What breaks first is the one process of flow and scheduler, with faster or more GPU-class workers."
    )


def _peaks(told: Mapping[str, Any]) -> str:
    return ", ".join(f"{kind} {size:.0f} MiB" for kind, size in sorted(told["peaks"].items()))


def _requests(told: Mapping[str, Any]) -> str:
    counts = sorted(told["requests"].items())
    return f"{sum(count for _, count in counts)} ({', '.join(f'{count} {name}' for name, count in counts)})"


def main() -> None:
    """Measure each length, compare, estimate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--scans", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--folder", type=Path, help="where results are written meanwhile")
    parser.add_argument("--part", nargs=3, metavar=("PART", "MANIFEST", "OUT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        part, manifest, out = arguments.part
        say(json.dumps(PARTS[part](Path(manifest), Path(out))))
        return
    few, many = min(arguments.scans), max(arguments.scans)
    with tempfile.TemporaryDirectory(prefix="spinenet-orchestration-", dir=arguments.folder) as folder:
        told = {scans: measure(Path(folder), scans, scans == few) for scans in sorted(arguments.scans)}
    if few != many:
        for kind, size in told[few]["flow"]["peaks"].items():
            growth = told[many]["flow"]["peaks"][kind] / size
            say(f"memory of {kind}, {many} beside {few} scans: {growth:.2f} times ({MOST_GROWTH} is wanted)")
    estimate(told[many]["flow"])


if __name__ == "__main__":
    main()
