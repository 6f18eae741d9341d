"""What bombs come to: small files that ask for much.

``PYTHONPATH=.:tests python tests/readers/look_at_bombs.py`` prints a table: bomb, bytes, how it
was looked at (``read``; ``preview``, as a check does; ``index``), what it came to, CPU seconds, and MiB of
memory above what the libraries take. Each is looked at in a process of its own with a ceiling of memory and
CPU time. Then ``spinenet index`` and ``spinenet check`` go over all of them at once, and their processes are
measured. ``--small`` makes them a hundredth in size; ``--folder`` takes bombs that lie there already.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from multiprocessing import get_context
from pathlib import Path

from support.bombs import write_bombs
from support.small_scans import make_scan, save

CEILING = 6 << 30
"""Bytes of memory at which a look ends."""
SECONDS = 10.0
"""CPU time that a bomb may take."""
MEBIBYTES = 1024
"""Memory that a bomb may take."""

HOWS = ("read", "preview", "index")

CHILD = """
import json, sys, time
from fsspec.core import url_to_fs
from spinenet.errors import ScanError
from spinenet.geometry import to_square_pixels
from spinenet.index.places import find_places
from spinenet.index.preview import preview
from spinenet.index.survey import survey
from spinenet.readers.series import read_scan
import imagecodecs, nibabel
imagecodecs.jpeg8_decode, imagecodecs.jpeg2k_decode, imagecodecs.jpegls_decode

def indexed(path):
    fs, root = url_to_fs(path)
    for place in find_places(fs, root):
        for row in survey(fs, place).rows:
            if row["reason"]:
                raise ScanError(row["reason"], row["detail"])
            return row["rows"], row["columns"], row["slices"]
    return "without a series"

LOOKS = {
    "read": lambda path: to_square_pixels(read_scan(path)).shape,
    "preview": lambda path: preview(path).shape,
    "index": indexed,
}
def peak():
    # what getrusage tells of a process begins with what its parent took
    told = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    return int(told[0].split()[1])

base = peak()
hows, *paths = sys.argv[1:]
for path in paths:
    for how in hows.split(","):
        began = time.process_time()
        try:
            told = f"scan {LOOKS[how](path)}"
        except ScanError as error:
            told = f"{error.reason}: {error.detail}"
        except BaseException as error:
            told = f"RAISED {type(error).__name__}: {error}"
        grown = (peak() - base) >> 10
        print(json.dumps([path, how, told, round(time.process_time() - began, 2), grown]), flush=True)
"""


def look_at(paths: Iterable[Path], hows: Sequence[str] = HOWS) -> list[tuple[str, str, str, float, int]]:
    """Look at bombs one after the other in one process: (path, how, outcome, CPU seconds, MiB so far)."""
    names = [str(path) for path in paths]

    def ceiling() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (CEILING, CEILING))
        most = int(20 + len(hows) * SECONDS * len(names))
        resource.setrlimit(resource.RLIMIT_CPU, (most, most + 5))

    ended = subprocess.run(
        [sys.executable, "-c", CHILD, ",".join(hows), *names],
        capture_output=True,
        text=True,
        preexec_fn=ceiling,
        check=False,
    )
    found = [tuple(json.loads(line)) for line in ended.stdout.splitlines()]
    if ended.returncode:
        last = names[min(len(found) // len(hows), len(names) - 1)]
        found.append((last, "?", f"ENDED with {ended.returncode}: {ended.stderr[-200:]}", 0, 0))
    return found


def measured(*arguments: str | Path) -> tuple[int, float, int]:
    """Run the command ``spinenet``: (exit status, CPU s, MiB of its largest process), with children."""
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *map(str, arguments)], stdout=subprocess.DEVNULL
    )
    # the system counts this process and all below it that were waited for; samples would miss short peaks
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, used.ru_utime + used.ru_stime, used.ru_maxrss >> 10


def commands(bombs: Sequence[Path], good: Path, scratch: Path) -> bool:
    """Run ``index`` and ``check`` over a good series, then over all bombs; whether they keep the limits."""
    wanted = scratch / "all.csv"
    lines = ["scan_id,path", *(f"{path.name},{path}" for path in bombs)]
    wanted.write_text("\n".join(lines) + "\n", encoding="utf-8")
    (scratch / "one.csv").write_text(f"scan_id,path\ngood,{good}\n", encoding="utf-8")
    within = True
    synthetic = ("--weights", "synthetic")
    for name, alone, together in (
        ("index", (good, "-o", scratch / "a.csv"), (bombs[0].parent, "-o", scratch / "b.csv")),
        ("check", (scratch / "one.csv", *synthetic), (wanted, *synthetic)),
    ):
        more = ("--no-prefect",) if name == "index" else ()
        _, base_seconds, base = measured(name, *alone, *more)
        status, seconds, largest = measured(name, *together, *more)
        sys.stdout.write(
            f"spinenet {name}: exit status {status}, {seconds:.1f} CPU s "
            f"({base_seconds:.1f} for a good series), {largest} MiB in its largest process ({base})\n"
        )
        sys.stdout.flush()
        within &= largest - base <= MEBIBYTES and seconds - base_seconds <= SECONDS * len(bombs)
    return within


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--folder", type=Path, help="of bombs that lie there already")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="spinenet-bombs-") as name:
        made, began = Path(name) / "bombs", time.monotonic()
        if arguments.folder:
            bombs = sorted(arguments.folder.iterdir())
            save(made / "good", make_scan((20, 16, 3)))
        else:
            # in a process of its own: what this one takes would count for those that it starts
            with get_context("spawn").Pool(1) as pool:
                bombs = pool.apply(write_bombs, (made, 100 if arguments.small else 1))
            sys.stdout.write(f"{len(bombs)} bombs made in {time.monotonic() - began:.0f} s\n")
        bad = print_table(bombs)
        bad += not commands(bombs, made / "good", Path(name))
    return 1 if bad else 0


def print_table(bombs: Sequence[Path]) -> int:
    """Look at each; how many looks went beyond a limit or did not end in a reason."""
    bad = 0
    sys.stdout.write("| bomb | bytes | how | outcome | CPU s | MiB |\n|---|---|---|---|---|---|\n")
    for path in bombs:
        files = path.iterdir() if path.is_dir() else [path]
        size = sum(file.stat().st_size for file in files)
        for _, how, told, seconds, grown in look_at([path]):
            bad += seconds > SECONDS or grown > MEBIBYTES or told.startswith(("RAISED", "ENDED"))
            sys.stdout.write(f"| {path.name} | {size} | {how} | {told} | {seconds} | {grown} |\n")
            sys.stdout.flush()
    return bad


if __name__ == "__main__":
    sys.exit(main())
