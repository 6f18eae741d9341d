"""The shards of a run as tasks, and what the run is shown as."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from functools import partial

from flows.progress import Reporter
from flows.stopping import Stop
from flows.tasks import About, Done, Tasks, key_of
from spinenet.cohort.attempts import Crew
from spinenet.cohort.job import Job
from spinenet.cohort.ledger import Ledger
from spinenet.cohort.request import RunRequest
from spinenet.cohort.shard import do_shard
from spinenet.errors import STOPPED, Stopped
from spinenet.printable import counted, link_target, printable
from spinenet.redaction import redacted

_LONGEST = 60
"""Characters of a place's last name in the name of a run."""


def shown_as(request: RunRequest, cluster: str, ledger: Ledger, n_shards: int, threads: int) -> About:
    """What Prefect shows the run as."""
    given = {**request.model_dump(mode="json", exclude_defaults=True), "cluster": cluster}
    plan, out = ledger.plan, ledger.store.url()
    manifest = redacted(str(plan.record["manifest"]["url"]))
    name = f"{name_of(manifest, out)}, {n_shards} of {plan.n_shards} shards of {plan.n_rows} scans"
    return About(
        flow="flows.cohort:cohort",
        name=printable(name),
        key=key_of(out),
        parameters={"request": {k: redacted(v) if isinstance(v, str) else v for k, v in given.items()}},
        tags=("spinenet", str(plan.record["conditions"]["weights"])),
        tables=out,
        threads=threads,
    )


def name_of(manifest: str, out: str) -> str:
    """What a run is called before more is known of it."""
    return printable(f"{_last(redacted(manifest))} to {_last(redacted(out))}")


def _last(url: str) -> str:
    return printable(url.rstrip("/").rsplit("/", 1)[-1] or url, _LONGEST)


def _task_name(index: int, generation: int) -> str:
    """Name of a shard's task, which tells whether it was done before."""
    return f"shard-{index:05d}" + (f"-again-{generation}" if generation else "")


def do_shards(
    job: Job, crew: Crew, tasks: Tasks, stop: threading.Event, reporter: Reporter, in_flight: int
) -> None:
    """Do shards as tasks, so many at a time.

    One is submitted when another has ended, and no future is kept: nothing grows with the manifest.

    Raises
    ------
    Stopped
        The run was asked to stop.
    RunError
        The cluster or the weights failed.
    """
    indices: Sequence[int] = job.todo.shards
    failures: list[Exception] = []
    committed = itertools.count(1)

    def shard(index: int) -> Done:
        if stop.is_set():
            raise Stopped(STOPPED)
        started = time.monotonic()
        try:
            states = do_shard(job, crew, index)
        except Exception as error:
            failures.append(error)
            if isinstance(stop, Stop) and not stop.is_set():
                stop.sentence = str(error)
            stop.set()
            raise
        reporter.shard(index, states, time.monotonic() - started)
        record = job.ledger.store.url(job.ledger.record_name(index, job.todo.generations.get(index, 0)))
        link = f"[commit record]({link_target(record)})"
        return Done(f"{counted(states)}: {link}", 100 * next(committed) / len(indices))

    room = threading.Semaphore(in_flight)
    for index in indices:
        room.acquire()
        if stop.is_set():
            room.release()
            break
        name = _task_name(index, job.todo.generations.get(index, 0))
        done = tasks.submit("shard", name, partial(shard, index))
        done.add_done_callback(lambda _: room.release())
    for _ in range(in_flight):
        room.acquire()
    if failures:
        # Others stop because the first one failed; the user is told of that one.
        raise next((e for e in failures if not isinstance(e, Stopped)), failures[0])
    if stop.is_set():
        raise Stopped(STOPPED)
