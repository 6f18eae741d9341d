"""Every way in which a run can end: its process ends in time, with its status and one sentence."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import pytest
from distributed.utils import open_port

from support.cohorts import command, small_scan, write
from support.local_chaos import busy
from support.mounts import mounted

HUNG = """
import sys, threading
from flows import stopping
stopping.LEAVE_S = stopping.STOP_S = 1.0
threading.Thread(target=threading.Event().wait).start()
sys.stdout.write("told")
"""


def in_python(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", HUNG + script], capture_output=True, text=True, timeout=120, check=False
    )


def test_a_thread_that_does_not_end_keeps_no_process() -> None:
    ended = in_python("stopping.leave(3)")
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "told", "")


@pytest.mark.parametrize(
    ("block", "sentence"),
    [
        ("stop.set(); threading.Event().wait()", "the run was stopped; start it again"),
        (
            "outer = ExitStack(); outer.callback(threading.Event().wait)\n"
            "    with outer, stop.at_the_end(): raise RunError('the disk is full')",
            "the disk is full (a part of it hung",
        ),
    ],
)
def test_a_block_that_hangs_after_its_end_is_left(block: str, sentence: str) -> None:
    imports = "from contextlib import ExitStack\nfrom spinenet.errors import RunError\n"
    started = "stopping.Stop.own_process = True\nwith stopping.stoppable(lambda: None) as stop:\n    "
    ended = in_python(imports + started + block)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"spinenet: {sentence}")
    assert ended.stderr.count("\n") == 1


OTHER_VERSION = """
import spinenet.cohort.scan

def dask_setup(worker):
    spinenet.cohort.scan.version = lambda: "0.0.1"
"""


OTHER_WEIGHTS = """
import dataclasses
from spinenet.weights import loaded

def dask_setup(worker):
    resolve = loaded.resolve
    loaded.resolve = lambda source: dataclasses.replace(resolve(source), digests={"a": "b"})
"""

DEFECT = """
import sys
from spinenet.cohort.ledger import Ledger

def commit(self, *told):
    raise ZeroDivisionError("a defect of the flow")

Ledger.commit = commit
sys.argv[0] = "spinenet"
from flows.cli import main
main()
"""


@contextmanager
def outside_cluster(folder: Path, preload: str = "") -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A scheduler, and a worker of both classes, each a process; the address and the scheduler."""
    (folder / "preloaded.py").write_text(preload, encoding="utf-8")
    address = f"tcp://127.0.0.1:{open_port()}"
    python, quiet = [sys.executable, "-m"], {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    where = ["--host", "127.0.0.1", "--port", address.rpartition(":")[2], "--no-dashboard"]
    worker = [address, "--nthreads", "2", "--resources", "CPU=1 GPU=1", "--no-nanny", "--no-dashboard"]
    worker += ["--host", "127.0.0.1", "--preload", str(folder / "preloaded.py"), "--death-timeout", "60"]
    scheduler = subprocess.Popen([*python, "distributed.cli.dask_scheduler", *where], **quiet)  # type: ignore[call-overload]
    working = subprocess.Popen([*python, "distributed.cli.dask_worker", *worker], **quiet)  # type: ignore[call-overload]
    try:
        yield address, scheduler
    finally:
        for process in (working, scheduler):
            process.kill()
            process.wait()


def manifest_of(folder: Path, n_scans: int) -> Path:
    write(folder / "scan", small_scan(1), "scan")
    rows = [f"s{i},scan" for i in range(n_scans)]
    (folder / "m.csv").write_text("\n".join(["scan_id,path", *rows]) + "\n", encoding="utf-8")
    return folder / "m.csv"


ENDINGS = {
    "other version": (1, r"has spinenet 0.0.1 and the flow"),
    "other weights": (1, r"has other weights under synthetic than the run"),
    "defect": (1, r"ZeroDivisionError"),
    "scheduler lost": (1, r"scheduler was lost"),
    "no such cluster": (1, r"no Dask scheduler answers"),
    "terminated": (1, r"start it again to go on"),
    "interrupted": (1, r"start it again to go on"),
    "interrupted twice": (1, r"stopped|start it again"),
    "output lost": (1, r"cannot (write|create|list|read)"),
    "disk full": (1, r"No space left"),
}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_run_on_a_busy_machine_ends_as_it_should(ending: str, tmp_path: Path) -> None:
    status, sentence = ENDINGS[ending]
    manifest, out = manifest_of(tmp_path, 200), tmp_path / "out"
    preload = {"other version": OTHER_VERSION, "other weights": OTHER_WEIGHTS}.get(ending, "")
    disk = mounted(out, "size=8m") if ending == "disk full" else nullcontext()
    with disk, busy(2 * (os.cpu_count() or 1)), outside_cluster(tmp_path, preload) as (address, scheduler):
        if ending == "no such cluster":
            address = f"tcp://127.0.0.1:{open_port()}"
        arguments = ("--weights", "synthetic", "--shard-size", "4", "--cluster", address, "--no-prefect")
        python, *module = command("run", manifest, out, *arguments)
        run = subprocess.Popen(
            [python, "-c", DEFECT, *module[2:]] if ending == "defect" else [python, *module],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        disturb(ending, run, scheduler, out)
        said = run.communicate(timeout=400)[1]
    assert run.returncode == status, said
    last = said.strip().splitlines()[-1]
    assert last.startswith("spinenet: ")
    assert re.search(sentence, last), said
    if ending == "no such cluster":
        assert not out.exists(), "nothing was begun"


def disturb(ending: str, run: subprocess.Popen[str], scheduler: subprocess.Popen[bytes], out: Path) -> None:
    """Do what ends the run, once a shard of it is committed."""
    if ending in ("other version", "other weights", "defect", "no such cluster"):
        return
    give_up = time.monotonic() + 300
    while not list(out.glob("_run/commits/*.json")) and run.poll() is None and time.monotonic() < give_up:
        time.sleep(0.1)
    if ending == "scheduler lost":
        scheduler.kill()
    elif ending == "disk full":
        with suppress(OSError), (out / "others").open("wb", buffering=0) as others:
            while others.write(bytes(4096)):
                pass
    elif ending == "output lost":
        out.rename(out.with_name("elsewhere"))
        out.write_text("a file", encoding="utf-8")
    else:
        run.send_signal(signal.SIGTERM if ending == "terminated" else signal.SIGINT)
        if ending == "interrupted twice":
            time.sleep(0.3)
            run.send_signal(signal.SIGINT)
