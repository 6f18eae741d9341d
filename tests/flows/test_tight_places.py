"""Few files or addresses, full and read-only disks, ``-O``, SOCKS: it works, or a sentence says why not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from flows.clusters.surroundings import ADDRESSES, FILES, FILES_FOR_A_WORKER
from flows.cores import cores
from support.cohorts import command

ENOUGH_FILES = FILES + FILES_FOR_A_WORKER * 2 * cores()
"""For a run's own workers, of which there is at most one of each class for a core."""
TOO_FEW_ADDRESSES = ADDRESSES // 1024 - 50_000
RUN = ("run", "m.csv", "out", "--weights", "synthetic")
CHECK = ("check", "m.csv", "--weights", "synthetic")
DEMO = ("demo", "--subjects", "1", "--out", "demo")
FULL = (
    'mount -t tmpfs -o size=16k none full && ! head -c 64K /dev/zero > full/file && export TMPDIR="$PWD/full"'
)
READ_ONLY = "mount -t tmpfs none there && cp m.csv there && mount -o remount,ro none there && cd there"


def may_mount() -> bool:
    mount = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"]
    return shutil.which("unshare") is not None and subprocess.run(mount, capture_output=True).returncode == 0


needs_mounts = pytest.mark.skipif(not may_mount(), reason="needs a user namespace that may mount")


def started_in(place: str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command after a line of shell, in a folder with ``m.csv``, ``full`` and ``there``."""
    for name in ("full", "there"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "m.csv").write_text("scan_id,path\n1,nowhere\n", encoding="utf-8")
    python, *rest = command(*words)
    spaces = ["unshare", "-rm"] if "mount" in place else []
    return subprocess.run(
        [*spaces, "bash", "-c", f'{place} && exec "$@"', "bash", python, "-P", *rest],
        cwd=folder,
        # a library that starts threads when it is loaded takes addresses for each core
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


REFUSED: Mapping[str, tuple[str, tuple[str, ...], int, str]] = {
    "few files": (
        "ulimit -n 24",
        RUN,
        1,
        r"local workers of this machine need \d+ open files, .* 24 here; .*",
    ),
    "few addresses for workers": (
        f"ulimit -v {TOO_FEW_ADDRESSES}",
        RUN,
        1,
        "local workers need 2000 MB of addresses each, and a process may have 1948 MB here; .*",
    ),
    "few addresses": (
        "ulimit -v 500000",
        CHECK,
        1,
        "this process may have 512 MB of addresses, .* not enough .*",
    ),
    "out cannot be written": (READ_ONLY, RUN, 2, "cannot write to .*/there/out: Read-only file system; .*"),
    "demo cannot be written": (
        READ_ONLY,
        DEMO,
        2,
        "cannot write to .*/there/demo: Read-only file system; .*",
    ),
}
"""A line of shell, the command after it, its exit status, and its last sentence."""


@pytest.mark.parametrize(
    "place", [pytest.param(p, marks=needs_mounts if "mount" in REFUSED[p][0] else ()) for p in REFUSED]
)
def test_one_sentence_names_the_cause(place: str, tmp_path: Path) -> None:
    shell, words, status, said = REFUSED[place]
    ended = started_in(shell, tmp_path, *words)
    assert ended.returncode == status, ended.stderr
    assert "Traceback" not in ended.stderr
    assert re.fullmatch(f"spinenet: {said}", ended.stderr.rstrip().splitlines()[-1]), ended.stderr


WORKS: Mapping[str, tuple[str, str]] = {
    "few files": (f"ulimit -n {ENOUGH_FILES}", ""),
    "files at first few": ("ulimit -Sn 32", ""),
    "few addresses": ("ulimit -v 4000000", ""),
    "no room for temporary files": (FULL, ""),
    "optimised": ("export PYTHONOPTIMIZE=1", ""),
    "socks": (
        "export ALL_PROXY=socks5://127.0.0.1:9",
        "Prefect does not show this run, which goes on without it",
    ),
}
"""A line of shell, and what is said of it."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "place", [pytest.param(p, marks=needs_mounts if p.startswith("no room") else ()) for p in WORKS]
)
def test_everything_works_in(place: str, tmp_path: Path) -> None:
    shell, said = WORKS[place]
    demo = started_in(shell, tmp_path, *DEMO)
    check = started_in(shell, tmp_path, "check", "demo/cohort/manifest.csv", *CHECK[2:])
    again = started_in(shell, tmp_path, "run", "demo/cohort/manifest.csv", "out", *RUN[3:])
    status = started_in(shell, tmp_path, "status", "out")
    for ended in (demo, check, again, status):
        assert ended.returncode == 0, ended.stderr
        assert "Traceback" not in ended.stderr
    assert said in again.stderr
    assert "1 scans: 1 done" in again.stdout
    assert re.search(r"^ *1 +done", status.stdout, re.MULTILINE), status.stdout


@pytest.mark.slow
@needs_mounts
def test_a_folder_that_cannot_be_written_is_one_to_stand_in(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    assert started_in(READ_ONLY, tmp_path, *CHECK).returncode == 3
    ended = started_in(READ_ONLY, tmp_path, "run", "m.csv", out, *RUN[3:], "--no-prefect", "--keep-going")
    assert ended.returncode == 3, ended.stderr
    assert started_in(READ_ONLY, tmp_path, "status", out).returncode == 0
    assert (tmp_path / "out" / "_SUCCESS").is_file()


TIGHT = """
import resource, sys
from pathlib import Path
from flows.stopping import leave
from flows.clusters.surroundings import check_surroundings, lack_of_memory
from spinenet.errors import RunError

what = sys.argv[1]
if what == "leave":
    # room for no stack of a thread
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + 2**20,) * 2)
    leave(3)
if what == "files":
    resource.setrlimit(resource.RLIMIT_NOFILE, (32, 300))
    check_surroundings(20)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (280, 300)
    try:
        check_surroundings(22)
    except RunError as error:
        sys.exit(str(error))
if what == "memory":
    assert lack_of_memory(MemoryError()) is None
    resource.setrlimit(resource.RLIMIT_AS, (3 * 10**9,) * 2)
    assert lack_of_memory(ValueError("no such scan")) is None
    assert lack_of_memory(RuntimeError("can't start new thread")).count("3000 MB") == 1
    sys.exit(lack_of_memory(MemoryError()))
"""


@pytest.mark.parametrize(
    ("what", "status", "said"),
    [
        ("leave", 3, ""),
        ("files", 1, "local workers of this machine need 304 open files, and a process may have 300 here; "),
        ("memory", 1, "this process may have 3000 MB of addresses, which are not enough (MemoryError); "),
    ],
)
def test_limits_of_a_process(what: str, status: int, said: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", TIGHT, what], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == status, ended.stderr
    assert ended.stderr.startswith(said)
    assert "Traceback" not in ended.stderr
