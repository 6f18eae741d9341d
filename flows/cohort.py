"""The main job: a manifest's frozen plan, its shards as Prefect tasks over a Dask cluster, the tables."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flows.about import about
from flows.clusters.address import Cluster, cluster_address, connected, wait_for_slots
from flows.clusters.names import LOCAL, check_cluster_name
from flows.memory import given_back
from flows.prefect_server.observer import observer
from flows.progress import LogReporter, NotebookReporter, Reporter, in_notebook
from flows.shard_tasks import do_shards, shown_as
from flows.stopping import stoppable
from flows.timelimit import SECONDS_PER_SCAN
from flows.watch import watched
from flows.window import Window
from flows.work import Work
from flows.workers import STEPS, Orders, Steps, WeightsRef
from spinenet import weights as store_of_weights
from spinenet.anatomy import SURROUNDINGS
from spinenet.cohort.checkpoints import FOLDER as CHECKPOINTS
from spinenet.cohort.checkpoints import by_shard
from spinenet.cohort.finalise import FOLDERS, DamagedParts, finalise
from spinenet.cohort.freeze import Change, column_types, freeze
from spinenet.cohort.ledger import Ledger
from spinenet.cohort.manifests.manifest import read_manifest
from spinenet.cohort.plan import Conditions, load_plan
from spinenet.cohort.retry import Retry
from spinenet.cohort.todo import Todo, made_again, what_is_left
from spinenet.errors import RunError
from spinenet.settings import SHARD_SIZE, Settings
from spinenet.storage import open_output

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
    """

    out: str
    n_rows: int
    n_before: int
    states: Mapping[str, int]
    seconds: float

    @property
    def n_failed(self) -> int:
        """Rows that failed."""
        return self.n_rows - self.states.get("done", 0) - self.states.get("excluded", 0)


@given_back()
def run_cohort(
    manifest: str,
    out: str,
    weights: str | Path = store_of_weights.PUBLISHED,
    *,
    cluster: str = "local",
    device: str = "auto",
    shard_size: int = SHARD_SIZE,
    settings: Settings = Settings(),
    seconds_per_scan: float = SECONDS_PER_SCAN,
    reporter: Reporter | None = None,
    steps: Steps = STEPS,
    change: Change = "refuse",
    types: Mapping[str, str] | None = None,
    prefect: bool = True,
    retry: Retry = Retry(),
    keep_going: bool = False,
) -> RunSummary:
    """Read every scan of a manifest and write the tables; goes on where an earlier start ended.

    Parameters
    ----------
    manifest, out
        At any fsspec URL.
    weights
        A name, a folder or a URL; nothing is downloaded.
    cluster
        "local", or the address of a Dask scheduler.
    shard_size
        Scans that are committed together; a run that was begun keeps its own.
    seconds_per_scan
        A scan that takes longer, in reading or in inference, fails with the reason "time_limit".
    steps
        What workers do for a scan.
    change
        What becomes of a run of another manifest, other weights or other settings in ``out``; see
        :func:`spinenet.cohort.plan.freeze`.
    types
        Of columns that the manifest carries, by name; see
        :data:`spinenet.cohort.manifests.column_types.TYPES`.
    prefect
        Whether Prefect is told of the run, which it never decides on.
    retry
        Which failed rows are read again, of a finished run too.
    keep_going
        Commit rows that fail by their surroundings, however many they are, and do not wait for storage.

    Raises
    ------
    ManifestError, WeightsError, ClusterNameError, OutputError
        The manifest, the weights, the cluster's name or the output cannot be used; nothing is written then.
    RunError
        The run did not finish. What is committed stays, and the next start goes on from there.
    """
    began = time.monotonic()
    reporter = reporter or (NotebookReporter() if in_notebook() else LogReporter())
    check_cluster_name(cluster)
    reporter.waiting("reading the manifest")
    store = open_output(out, FOLDERS)
    rows = read_manifest(manifest, types=column_types(store, types or {}, change))
    reporter.waiting("checking the weights")
    bundle = store_of_weights.resolve(weights)
    ref = WeightsRef(_source(weights), bundle.name, bundle.fingerprint)
    orders = Orders(ref, settings, device, seconds_per_scan)
    conditions = Conditions(ref.name, ref.fingerprint, bundle.digests, settings.deciding)
    if cluster != LOCAL and load_plan(store) is None:
        # nothing is begun where nothing answers
        with connected(Cluster(cluster)):
            pass
    plan = freeze(store, rows, conditions, shard_size=shard_size, about=about(orders), change=change)
    ledger = Ledger(store, plan)
    todo = what_is_left(ledger, retry)
    if todo.final is not None:
        if n_left := sum(count for state, count in todo.final.items() if state in SURROUNDINGS):
            log.info(
                "%d scans failed by their surroundings; none is read again without --retry or "
                "--retry-failed: paths are still not there, or were tried often enough", n_left,
            )  # fmt: skip
        return RunSummary(store.url(), plan.n_rows, plan.n_rows, todo.final, time.monotonic() - began)
    before = todo.n_before
    if todo.n_again:
        log.info("%d scans that failed are read again", todo.n_again)
    del rows
    reporter.started(plan.n_rows, before, plan.n_shards)
    try:
        for _ in range(ROUNDS):
            if todo.shards:
                detector = bundle.detector_digest
                _shards(ledger, orders, steps, detector, todo, keep_going, cluster, reporter, prefect)
            reporter.waiting("writing the tables")
            try:
                states = finalise(ledger)
            except DamagedParts as damaged:
                todo = made_again(ledger, damaged.shards)
            else:
                return RunSummary(store.url(), plan.n_rows, before, states, time.monotonic() - began)
    finally:
        reporter.finished()
    raise RunError(f"parts in {store.url()} were damaged again after they were remade; check the storage")


def _shards(
    ledger: Ledger,
    orders: Orders,
    steps: Steps,
    detector_digest: str,
    todo: Todo,
    keep_going: bool,
    cluster: str,
    reporter: Reporter,
    prefect: bool,
) -> None:
    """Do shards on the cluster, as tasks that Prefect may be told of."""
    reporter.waiting("starting workers" if cluster == LOCAL else "looking for workers")
    with (
        stoppable(ledger.store.retries.hurry) as stop,
        observer(prefect, reporter.waiting) as observing,
        cluster_address(cluster) as place,
        observing.started(),
        connected(place) as client,
        watched(place, client) as watch,
        stop.at_the_end(),
    ):
        work = Work(
            client=client,
            ledger=ledger,
            orders=orders,
            detector_digest=detector_digest,
            checkpoints=by_shard(ledger.store.sizes(CHECKPOINTS)),
            generations=todo.generations,
            again=todo.again,
            keep_going=keep_going,
            window=Window.over(wait_for_slots(client)),
            stop=stop,
            reporter=reporter,
            refuse_if_lost=watch.refuse_if_lost,
            steps=steps,
        )
        threads = work.window.shards_in_flight(ledger.plan.shard_size)
        shown = shown_as(ledger, len(todo.shards), threads)
        observing.run(shown, lambda tasks: do_shards(work, todo.shards, tasks, threads))


def _source(weights: str | Path) -> str:
    """How a worker finds the weights: a name or URL as it stands, a folder by its absolute path."""
    text = str(weights)
    return str(Path(text).resolve()) if Path(text).is_dir() else text
