"""A run is begun, or taken up again: manifest, weights and frozen plan become a job."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from spinenet.cohort.checkpoints import by_shard
from spinenet.cohort.freeze import column_types, freeze
from spinenet.cohort.job import Job
from spinenet.cohort.layout import DETECTIONS, FOLDERS
from spinenet.cohort.ledger import Ledger
from spinenet.cohort.manifests.manifest import read_manifest
from spinenet.cohort.plan import Conditions, Plan, load_plan, planned
from spinenet.cohort.request import RunRequest
from spinenet.cohort.retry import Retry
from spinenet.cohort.scan import Orders
from spinenet.cohort.todo import what_is_left
from spinenet.errors import OtherRun
from spinenet.redaction import has_secret
from spinenet.settings import Settings
from spinenet.storage import open_output
from spinenet.weights.bundle import Bundle
from spinenet.weights.loaded import WeightsRef
from spinenet.weights.resolving import resolve

log = logging.getLogger("spinenet")


def _silent(what: str) -> None:
    """Say nothing of what is waited for."""


def begin(
    request: RunRequest,
    about: Mapping[str, Any],
    *,
    waiting: Callable[[str], None] = _silent,
    before: Callable[[], None] | None = None,
) -> Job:
    """Freeze the plan of a run, or find the one that is there, and see what is left to do.

    Parameters
    ----------
    about
        Versions, machine and the like, kept in ``run.json`` for the reader, beside the request.
    waiting
        Called with what is being done.
    before
        Called before a new plan is written, and may raise.

    Raises
    ------
    ManifestError, WeightsError, OtherRun, OutputError
        The manifest, the weights or the output cannot be used; nothing is written then.
    """
    retry = request.rows_to_retry
    waiting("reading the manifest")
    store = open_output(request.out, FOLDERS)
    rows = read_manifest(request.manifest, types=column_types(store, request.types, request.change))
    waiting("checking the weights")
    bundle = resolve(request.weights)
    ref = _reference(request.weights, bundle)
    conditions = Conditions(
        ref.name, ref.fingerprint, bundle.digests, request.settings.deciding, bundle.added
    )
    if before is not None and load_plan(store) is None:
        before()
    plan = freeze(
        store,
        rows,
        conditions,
        shard_size=request.shard_size,
        about={
            **about,
            "request": {**request.record, "weights": _kept_source(ref.source)},
            "not_validated": None if bundle.domain is None else list(bundle.domain.not_validated),
        },
        change=request.change,
    )
    orders = Orders(ref, request.settings, request.device, request.seconds_per_scan, bundle.domain)
    return _job(Ledger(store, plan), orders, bundle.detector_digest, retry, request.keep_going)


def take_up(
    out: str,
    *,
    weights: str | None = None,
    device: str | None = None,
    seconds_per_scan: float | None = None,
    retry: Retry | None = None,
    keep_going: bool = False,
) -> Job:
    """The job of a run that was planned, by what its plan says.

    Parameters
    ----------
    weights, device, seconds_per_scan
        In place of what the run was planned with: the same weights may lie elsewhere here.

    Raises
    ------
    RunError
        Nothing was planned there.
    WeightsError, OtherRun
        The weights are not here, or are not those of the plan.

    Examples
    --------
    >>> from spinenet.cohort.begin import take_up
    >>> job = take_up("PIECES")
    >>> job.ledger.plan.n_rows
    1
    """
    store = open_output(out, FOLDERS)
    plan = planned(store)
    asked = _asked(plan)
    source = weights or asked.get("weights") or plan.record["conditions"]["weights"]
    bundle = resolve(source)
    ref = _reference(source, bundle)
    if ref.fingerprint != plan.record["conditions"]["weights_fingerprint"]:
        raise OtherRun(
            f"{store.url()} was planned with other weights than {ref.name} {ref.fingerprint[:8]} here; "
            "name the ones that it was planned with: --weights"
        )
    settings = Settings(
        **plan.record["conditions"]["settings"], batch_size=int(asked.get("batch_size", Settings.batch_size))
    )
    orders = Orders(
        ref,
        settings,
        device or asked.get("device", "auto"),
        seconds_per_scan or float(asked.get("seconds_per_scan", Orders.seconds)),
        bundle.domain,
    )
    return _job(Ledger(store, plan), orders, bundle.detector_digest, retry or Retry(), keep_going)


def _job(ledger: Ledger, orders: Orders, detector_digest: str, retry: Retry, keep_going: bool) -> Job:
    todo = what_is_left(ledger, retry)
    checkpoints = by_shard(ledger.store.sizes(DETECTIONS)) if todo.final is None else {}
    return Job(ledger, orders, detector_digest, todo, checkpoints, keep_going)


def _asked(plan: Plan) -> Mapping[str, Any]:
    asked: Mapping[str, Any] = plan.record["about"].get("request", {})
    return asked


def _reference(source: str, bundle: Bundle) -> WeightsRef:
    """The bundle as other processes find it: a folder by its absolute path, all else as it was named."""
    place = str(Path(source).resolve()) if Path(source).is_dir() else source
    return WeightsRef(place, bundle.name, bundle.fingerprint)


def _kept_source(source: str) -> str | None:
    """The weights' source as ``run.json`` keeps it; none where that would keep a secret."""
    return None if has_secret(source) else source
