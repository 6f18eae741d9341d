"""The main job: a manifest's frozen plan, its shards as Prefect tasks over a Dask cluster, the tables."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from flows.addresses import check_cluster_name
from flows.cluster import cluster_address, connected, cores, wait_for_slots
from flows.memory import given_back
from flows.observer import observer
from flows.progress import LogReporter, Reporter
from flows.shard_tasks import do_shards, shown_as
from flows.shards import Work
from flows.stopping import stoppable
from flows.timelimit import SECONDS_PER_SCAN
from flows.window import Window
from flows.workers import STEPS, Orders, Steps, WeightsRef, version
from spinenet import weights as store_of_weights
from spinenet.cohort.checkpoints import FOLDER as CHECKPOINTS
from spinenet.cohort.checkpoints import by_shard
from spinenet.cohort.finalise import FOLDERS, DamagedParts, final_states, finalise
from spinenet.cohort.freeze import Change, column_types, freeze
from spinenet.cohort.ledger import Ledger
from spinenet.cohort.manifest import read_manifest
from spinenet.cohort.plan import Conditions
from spinenet.errors import RunError
from spinenet.networks.bundle import fingerprint_of
from spinenet.networks.description import file_name, read_description, verify_files
from spinenet.pipeline import Settings
from spinenet.storage import open_output

SHARD_SIZE = 64
PACKAGES = (
    "torch",
    "numpy",
    "scikit-image",
    "opencv-python-headless",
    "pydicom",
    "pyarrow",
    "dask",
    "prefect",
)
"""Those whose versions ``run.json`` records."""
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
        Of columns that the manifest carries, by name; see :data:`spinenet.cohort.column_types.TYPES`.
    prefect
        Whether Prefect is told of the run, which it never decides on.

    Raises
    ------
    ManifestError, WeightsError, ClusterNameError, OutputError
        The manifest, the weights, the cluster's name or the output cannot be used; nothing is written then.
    RunError
        The run did not finish. What is committed stays, and the next start goes on from there.
    """
    began = time.monotonic()
    reporter = reporter or LogReporter()
    check_cluster_name(cluster)
    store = open_output(out, FOLDERS)
    rows = read_manifest(manifest, types=column_types(store, types or {}, change))
    folder = store_of_weights.resolve(weights)
    description = read_description(folder)
    digests = verify_files(folder, description)
    ref = WeightsRef(_source(weights), str(description["name"]), fingerprint_of(digests))
    orders = Orders(ref, settings, device, seconds_per_scan)
    conditions = Conditions(ref.name, ref.fingerprint, digests, settings.deciding)
    plan = freeze(store, rows, conditions, shard_size=shard_size, about=_about(orders), change=change)
    ledger = Ledger(store, plan)
    final = final_states(store, plan)
    if final is not None:
        return RunSummary(store.url(), plan.n_rows, plan.n_rows, final, time.monotonic() - began)
    commits = ledger.commits()
    unfinished = ledger.unfinished(commits)
    before = plan.n_rows - sum(plan.rows_of(index) for index in unfinished)
    generations = {index: commits[index].generation + 1 for index in unfinished if index in commits}
    del commits, rows
    reporter.started(plan.n_rows, before, plan.n_shards)
    try:
        for _ in range(ROUNDS):
            if unfinished:
                detector = digests[file_name("detector")]
                _shards(ledger, orders, steps, detector, unfinished, generations, cluster, reporter, prefect)
            try:
                states = finalise(ledger)
            except DamagedParts as damaged:
                unfinished = list(damaged.shards)
                known = ledger.commits()
                generations = {index: known[index].generation + 1 for index in unfinished}
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
    indices: Sequence[int],
    generations: Mapping[int, int],
    cluster: str,
    reporter: Reporter,
    prefect: bool,
) -> None:
    """Do shards on the cluster, as tasks that Prefect may be told of."""
    with (
        stoppable(ledger.store.retries.hurry) as stop,
        observer(prefect) as observing,
        cluster_address(cluster) as address,
        connected(address) as client,
    ):
        work = Work(
            client=client,
            ledger=ledger,
            orders=orders,
            detector_digest=detector_digest,
            checkpoints=by_shard(ledger.store.sizes(CHECKPOINTS)),
            generations=generations,
            window=Window.over(wait_for_slots(client)),
            stop=stop,
            reporter=reporter,
            steps=steps,
        )
        threads = work.window.shards_in_flight(ledger.plan.shard_size)
        about = shown_as(ledger, len(indices), threads)
        observing.run(about, lambda tasks: do_shards(work, indices, tasks, threads))


def _source(weights: str | Path) -> str:
    """How a worker finds the weights: a name or URL as it stands, a folder by its absolute path."""
    text = str(weights)
    return str(Path(text).resolve()) if Path(text).is_dir() else text


def _versions() -> dict[str, str | None]:
    """Versions of :data:`PACKAGES`; None for one that is installed under another name."""
    found: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def _about(orders: Orders) -> dict[str, Any]:
    """By what, and on what machine, a run was begun: for whoever wants to repeat it."""
    return {
        "spinenet": version(),
        "python": sys.version.split()[0],
        "packages": _versions(),
        "device": orders.device,
        "batch_size": orders.settings.batch_size,
        "seconds_per_scan": orders.seconds,
        "machine": f"{platform.system()} {platform.machine()}",
        "cores": cores(),
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
    }
