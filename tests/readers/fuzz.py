"""Damages series of every encoding at random and reads them: each must end as a scan or as a reason.

``PYTHONPATH=.:tests python tests/readers/fuzz.py --cases 20000 --processes 2`` runs it at length. Each case
is made of its number alone, so that one that fails can be made again: ``--first NUMBER --cases 1``.

Reading happens in a child process: a crash of the interpreter, a case of more than 10 seconds and memory that
grows by more than 2 GiB are seen from outside, whatever compiled code did.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import multiprocessing
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec

from spinenet.anatomy import REASONS
from spinenet.errors import ScanError
from spinenet.index.preview import preview
from spinenet.readers.series import read_scan
from support.fuzz_cases import damaged

SECONDS = 10.0
GIBIBYTES = 2.0


def outcome(number: int) -> str:
    """Read one case: "scan" or a reason. Anything else that is raised is a finding."""
    name, files = damaged(number)
    memory = fsspec.filesystem("memory")
    root = f"/fuzz-{number}"
    memory.pipe({f"{root}/{file}": data for file, data in files.items()})
    url = f"memory:/{root}/{next(iter(files))}" if len(files) == 1 else f"memory:/{root}"
    try:
        headers = _told(lambda: preview(url))
        whole = _told(lambda: read_scan(url))
    finally:
        memory.rm(root, recursive=True)
    # that a packed file is broken farther on is seen by unpacking it, and others may do without it
    packed = any(data.startswith(b"\x1f\x8b") for data in files.values())
    if whole == "scan" and headers != "scan" and not packed:
        raise AssertionError(f"{name}: headers say {headers}, and the scan is read")
    return whole


def _told(action: Callable[[], object]) -> str:
    try:
        action()
    except ScanError as error:
        if error.reason not in REASONS or "\n" in error.detail:
            raise AssertionError(
                f"{error.reason!r} is no reason, or has no sentence: {error.detail!r}"
            ) from error
        return error.reason
    return "scan"


@dataclass
class Tally:
    """What a run of cases came to."""

    outcomes: collections.Counter[str] = field(default_factory=collections.Counter)
    failures: dict[int, str] = field(default_factory=dict)
    slowest: float = 0.0
    grown_bytes: int = 0

    def add(self, other: Tally) -> None:
        self.outcomes += other.outcomes
        self.failures |= other.failures
        self.slowest = max(self.slowest, other.slowest)
        self.grown_bytes = max(self.grown_bytes, other.grown_bytes)


def _peak_bytes() -> int:
    """Most of memory that this process has ever asked for, used or not."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"VmPeak:\s+(\d+) kB", status)
    return int(found.group(1)) * 1024 if found else 0


def _child(connection: Any, first: int, last: int) -> None:
    sys.setrecursionlimit(1000)
    for warm in range(30):
        outcome(10**9 + warm)
    before = _peak_bytes()
    for number in range(first, last):
        connection.send(("begun", number, None, 0.0, 0))
        started = time.monotonic()
        try:
            told = outcome(number)
        except BaseException:
            told = "raised: " + traceback.format_exc()
        connection.send(("ended", number, told, time.monotonic() - started, _peak_bytes() - before))
    connection.send(("done", last, None, 0.0, 0))


def run(first: int, last: int, seconds: float = SECONDS) -> Tally:
    """Read cases in a child, and in a new one after each that took it down."""
    found = Tally()
    context = multiprocessing.get_context("spawn")
    at = first
    while at < last:
        ours, theirs = context.Pipe()
        child = context.Process(target=_child, args=(theirs, at, last), daemon=True)
        child.start()
        theirs.close()
        running: int | None = None
        try:
            while True:
                # the child's first words take as long as its imports
                if not ours.poll(seconds if running is not None else 300.0):
                    raise TimeoutError
                what, number, told, took, grown = ours.recv()
                if what == "done":
                    return found
                running = number if what == "begun" else running
                if what == "ended":
                    _note(found, number, told, took, grown)
                    at = number + 1
        except TimeoutError:
            found.failures[at] = f"hangs for more than {seconds} seconds"
        except EOFError:
            child.join(10)
            if running is None:
                raise RuntimeError("the child process does not start; read a case here to see why") from None
            found.failures[at] = f"takes its process down, exit status {child.exitcode}"
        finally:
            child.kill()
            child.join()
        at += 1
    return found


def _note(found: Tally, number: int, told: str, took: float, grown: int) -> None:
    found.slowest = max(found.slowest, took)
    found.grown_bytes = max(found.grown_bytes, grown)
    if told.startswith("raised: "):
        found.failures[number] = told
    elif grown > GIBIBYTES * 2**30:
        found.failures[number] = f"memory grew by {grown / 2**30:.1f} GiB by now"
    else:
        found.outcomes[told] += 1


def _shares(first: int, cases: int, processes: int) -> Iterator[tuple[int, int]]:
    ends = [first + cases * i // processes for i in range(processes + 1)]
    yield from itertools.pairwise(ends)


def main() -> int:
    """Run what the command line asks for and tell what it came to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    found = Tally()
    started = time.monotonic()
    with ThreadPoolExecutor(given.processes) as pool:
        for one in pool.map(lambda share: run(*share), _shares(given.first, given.cases, given.processes)):
            found.add(one)
    lines = [f"--- case {number}: {failure}" for number, failure in sorted(found.failures.items())[:20]]
    lines += [f"{told:22} {count}" for told, count in found.outcomes.most_common()]
    lines.append(
        f"{given.cases} cases in {time.monotonic() - started:.0f} s, {len(found.failures)} failures, "
        f"slowest {found.slowest:.2f} s, memory grew by {found.grown_bytes / 2**20:.0f} MiB at most"
    )
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if found.failures or sum(found.outcomes.values()) != given.cases else 0


if __name__ == "__main__":
    sys.exit(main())
