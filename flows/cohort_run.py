"""The main job: a manifest's frozen plan, its shards as tasks over a Dask cluster, the tables."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from flows.about import about
from flows.clusters.address import Cluster, cluster_address, connected, wait_for_slots
from flows.clusters.names import LOCAL, check_cluster_name
from flows.crew import DaskCrew
from flows.memory import given_back
from flows.prefect_server.observer import Observer, observer
from flows.progress import LogReporter, NotebookReporter, Reporter, in_notebook
from flows.shard_tasks import do_shards, shown_as
from flows.stopping import stoppable
from flows.watch import watched
from flows.window import Window
from flows.workers import STEPS, Steps
from spinenet.anatomy import SURROUNDINGS
from spinenet.cohort.begin import begin
from spinenet.cohort.finalise import DamagedParts, finalise
from spinenet.cohort.job import Job
from spinenet.cohort.request import RunRequest
from spinenet.cohort.todo import made_again
from spinenet.errors import RunError

log = logging.getLogger("spinenet")

ROUNDS = 3
"""How often damaged parts are made again before the storage is given up on."""


@dataclass(frozen=True)
class RunSummary:
    """A finished run.

    Attributes
    ----------
    states
        Rows by "done", "excluded" or the reason of their failure; they sum to ``n_rows``.
    n_before
        Rows that an earlier start had done.
    not_validated
        Findings that the weights are not stated to be validated for; None where that is not known.
    """

    out: str
    n_rows: int
    n_before: int
    states: Mapping[str, int]
    seconds: float
    not_validated: Sequence[str] | None = None

    @property
    def n_failed(self) -> int:
        """Rows that failed."""
        return self.n_rows - self.states.get("done", 0) - self.states.get("excluded", 0)


@dataclass(frozen=True)
class Way:
    """How a run is done, which changes nothing of its tables.

    Attributes
    ----------
    cluster
        "local", or the address of a Dask scheduler.
    prefect
        Whether Prefect is told of the run, which it never decides on.
    steps
        What workers do for a scan.
    """

    cluster: str = LOCAL
    prefect: bool = True
    steps: Steps = STEPS


@given_back()
def run_cohort(request: RunRequest, way: Way = Way(), reporter: Reporter | None = None) -> RunSummary:
    """Read every scan of a manifest and write the tables; goes on where an earlier start ended.

    Raises
    ------
    ManifestError, WeightsError, ClusterNameError, OutputError
        The manifest, the weights, the cluster's name or the output cannot be used; nothing is written then.
    RunError
        The run did not finish. What is committed stays, and the next start goes on from there.
    """
    began = time.monotonic()
    reporter = reporter or (NotebookReporter() if in_notebook() else LogReporter())
    check_cluster_name(way.cluster)

    def reachable() -> None:
        """Nothing is begun where nothing answers."""
        with connected(Cluster(way.cluster)):
            pass

    before = None if way.cluster == LOCAL else reachable
    job = replace(begin(request, about(), waiting=reporter.waiting, before=before), report=reporter.scan)
    plan, n_before = job.ledger.plan, job.todo.n_before
    if job.todo.final is not None:
        _say_what_stays(job.todo.final)
        return _summary(job, plan.n_rows, job.todo.final, began)
    if job.todo.n_again:
        log.info("%d scans that failed are read again", job.todo.n_again)
    reporter.started(plan.n_rows, n_before, plan.n_shards)
    try:
        with observer(way.prefect, reporter.waiting) as observing:
            states = _finished(job, request, way, reporter, observing)
            summary = _summary(job, n_before, states, began)
            observing.outcome = summary
        return summary
    finally:
        reporter.finished()


def _summary(job: Job, n_before: int, states: Mapping[str, int], began: float) -> RunSummary:
    store, plan = job.ledger.store, job.ledger.plan
    seconds = time.monotonic() - began
    return RunSummary(store.url(), plan.n_rows, n_before, states, seconds, plan.not_validated)


def _finished(
    job: Job, request: RunRequest, way: Way, reporter: Reporter, observing: Observer
) -> Mapping[str, int]:
    """Do what is left, write the tables, and return the rows by state."""
    for _ in range(ROUNDS):
        if job.todo.shards:
            _shards(job, request, way, reporter, observing)
        reporter.waiting("writing the tables")
        try:
            return finalise(job.ledger)
        except DamagedParts as damaged:
            job = replace(job, todo=made_again(job.ledger, damaged.shards))
    where = job.ledger.store.url()
    raise RunError(f"parts in {where} were damaged again after they were remade; check the storage")


def _say_what_stays(states: Mapping[str, int]) -> None:
    """Log how many rows of a finished run failed by their surroundings."""
    if n_left := sum(count for state, count in states.items() if state in SURROUNDINGS):
        log.info(
            "%d scans failed by their surroundings; none is read again without --retry or "
            "--retry-failed: paths are still not there, or were tried often enough", n_left,
        )  # fmt: skip


def _shards(job: Job, request: RunRequest, way: Way, reporter: Reporter, observing: Observer) -> None:
    """Do shards on the cluster, as tasks that Prefect may be told of."""
    reporter.waiting("starting workers" if way.cluster == LOCAL else "looking for workers")
    with (
        stoppable(job.ledger.store.retries.hurry) as stop,
        cluster_address(way.cluster) as place,
        observing.started(),
        connected(place) as client,
        watched(place, client) as watch,
        stop.at_the_end(),
    ):
        crew = DaskCrew(
            client=client,
            orders=job.orders,
            window=Window.over(wait_for_slots(client)),
            stop=stop,
            steps=way.steps,
            refuse_if_lost=watch.refuse_if_lost,
        )
        threads = crew.window.shards_in_flight(job.ledger.plan.shard_size)
        shown = shown_as(request, way.cluster, job.ledger, len(job.todo.shards), threads)
        observing.run(shown, lambda tasks: do_shards(job, crew, tasks, stop, reporter, threads))
