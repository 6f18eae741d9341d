"""What a Dask worker does for one scan: decode on a CPU-class worker, inference on a GPU-class one."""

from __future__ import annotations

import importlib.metadata
import os
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from distributed import get_worker

import spinenet
from flows.devices import DeviceFailed, ends_with_its_device, is_of_the_device
from flows.memory import keep_freed
from flows.timelimit import SECONDS_PER_SCAN, time_limit
from spinenet import weights
from spinenet.cohort.checkpoints import Detections
from spinenet.cohort.manifests.manifest import Entry
from spinenet.cohort.rows import Failure, Provenance, ScanFacts, ScanRows, failed_rows, result_rows
from spinenet.errors import RunError, ScanError, WeightsError
from spinenet.geometry import rescale_quads, to_square_pixels
from spinenet.readers.series import read_scan
from spinenet.settings import Settings
from spinenet.storage.causes import scan_error
from spinenet.types import Scan, SpineReading, Vertebra

if TYPE_CHECKING:
    from spinenet.weights.networks import Networks

T = TypeVar("T")

THREADS_VARIABLE = "SPINENET_TORCH_THREADS"
"""Threads of one inference on a CPU; Dask's nanny otherwise leaves every worker a single one."""

Trace = tuple[tuple[str, str], ...]
"""(kind of task, worker that did it) pairs; a worker is its name and resources, such as "gpu-0 GPU"."""


@dataclass(frozen=True)
class WeightsRef:
    """Weights as a worker finds them: by source, and only if the fingerprint is the run's.

    Attributes
    ----------
    source
        A name, a folder that the worker sees too, or a URL in the worker's own store.
    """

    source: str
    name: str
    fingerprint: str


@dataclass(frozen=True)
class Orders:
    """What is the same for every scan of a run.

    Attributes
    ----------
    seconds
        Time limit of each step of a scan.
    version
        Of the package that the flow runs; a worker with another one does nothing.
    """

    weights: WeightsRef
    settings: Settings
    device: str = "auto"
    seconds: float = SECONDS_PER_SCAN
    version: str = field(default_factory=lambda: version())


@dataclass(frozen=True, eq=False)
class Prepared:
    """A scan on its way to inference, or why it got no further.

    Attributes
    ----------
    scan
        With square pixels; None where reading failed.
    facts
        Of the scan as stored.
    """

    entry: Entry
    scan: Scan | None
    facts: ScanFacts | None
    failure: Failure | None
    seconds: Mapping[str, float]
    trace: Trace


@dataclass(frozen=True, eq=False)
class Outcome:
    """All that the flow needs of a finished scan."""

    rows: ScanRows
    detections: Detections | None = None
    trace: Trace = ()


def prepare(entry: Entry, orders: Orders) -> Prepared:
    """Read and decode a scan and bring it to square pixels. Never raises for a scan's own fault.

    Raises
    ------
    RunError
        This worker has another version of the package than the flow.
    """
    _refuse_other_version(orders)
    keep_freed()
    started = time.perf_counter()
    trace: Trace = (("decode", _here()),)

    def read() -> tuple[Scan, ScanFacts]:
        stored = read_scan(entry.path, series_uid=entry.series_uid, overrides=entry.overrides)
        return to_square_pixels(stored), ScanFacts.of(stored)

    result = _guarded(read, orders)
    seconds = {"read": time.perf_counter() - started}
    if isinstance(result, Failure):
        return Prepared(entry, None, None, result, seconds, trace)
    scan, facts = result
    return Prepared(entry, scan, facts, None, seconds, trace)


def read(prepared: Prepared, orders: Orders, known: Detections | None = None) -> Outcome:
    """Detect, label and grade one scan.

    Parameters
    ----------
    known
        Detections of an earlier run; taken instead of detecting again if they were found in the same input.

    Raises
    ------
    WeightsError, RunError
        This worker has not the run's weights, or another version of the package: no fault of the scan.
    """
    _refuse_other_version(orders)
    entry, scan, facts = prepared.entry, prepared.scan, prepared.facts
    made_by = _provenance(orders.weights)
    if scan is None or facts is None:
        failure = replace(prepared.failure or Failure("internal_error", ""), seconds=prepared.seconds)
        return Outcome(failed_rows(entry, failure, made_by), None, prepared.trace)
    keep_freed()
    with ends_with_its_device():
        networks, loaded = networks_for(orders.weights, orders.device)
    here = _here()
    trace = (*prepared.trace, ("inference", here), *((("load", here),) if loaded else ()))
    with ends_with_its_device():
        result = _guarded(lambda: _infer(scan, facts, networks, orders.settings, known), orders)
    if isinstance(result, Failure):
        failure = replace(result, seconds=prepared.seconds)
        return Outcome(failed_rows(entry, failure, made_by, facts), None, trace)
    reading, detections = result
    reading = replace(reading, seconds={**prepared.seconds, **reading.seconds})
    if not reading.vertebrae:
        failure = Failure("no_vertebrae", "no vertebra was found in the scan", reading.seconds)
        return Outcome(failed_rows(entry, failure, made_by, facts), detections, trace)
    return Outcome(result_rows(entry, facts, reading, made_by), detections, trace)


def _refuse_other_version(orders: Orders) -> None:
    if version() != orders.version:
        raise RunError(
            f"worker {_here()} has spinenet {version()} and the flow {orders.version}; "
            "install the same on both"
        )


@dataclass(frozen=True)
class Steps:
    """The two tasks of a scan, by functions that workers can import."""

    prepare: Callable[[Entry, Orders], Prepared] = prepare
    read: Callable[[Prepared, Orders, Detections | None], Outcome] = read


STEPS = Steps()


def _infer(
    scan: Scan, facts: ScanFacts, networks: Networks, settings: Settings, known: Detections | None
) -> tuple[SpineReading, Detections]:
    # Not above: workers that only decode, and the flow, do without torch, which takes seconds to import.
    from spinenet.inference.pipeline import detect, read_spine

    started = time.perf_counter()
    if known is not None and known.input_fingerprint == facts.fingerprint:
        vertebrae = known.vertebrae
    else:
        vertebrae = detect(scan, networks, settings)
    seconds = time.perf_counter() - started
    reading = read_spine(scan, networks, settings, vertebrae=vertebrae)
    detections = Detections(facts.fingerprint, tuple(Vertebra(v.slices, v.quads) for v in vertebrae))
    return replace(
        reading,
        vertebrae=tuple(_as_stored(vertebra, scan, facts) for vertebra in reading.vertebrae),
        seconds={**reading.seconds, "detect": seconds},
    ), detections


def _as_stored(vertebra: Vertebra, scan: Scan, facts: ScanFacts) -> Vertebra:
    """The vertebra in pixels of the scan before it was resampled."""
    if scan.pixel_spacing == facts.pixel_spacing:
        return vertebra
    return replace(vertebra, quads=rescale_quads(vertebra.quads, scan.pixel_spacing, facts.pixel_spacing))


def _guarded(action: Callable[[], T], orders: Orders) -> T | Failure:
    """The action's result, or the reason why a scan has none."""
    try:
        with time_limit(orders.seconds):
            return action()
    except ScanError as error:
        return Failure(error.reason, error.detail)
    except WeightsError:
        raise
    except Exception as error:
        if is_of_the_device(error):
            raise DeviceFailed(_where(error), _here()) from None
        known = scan_error(error)
        return Failure(known.reason, known.detail) if known else Failure("internal_error", _where(error))


def _where(error: Exception) -> str:
    """An error's class and place. Its text stays untold: it may quote a header."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(place.filename).name} line {place.lineno}"


_held: dict[tuple[str, str], Networks] = {}
_holding = threading.Lock()


def networks_for(ref: WeightsRef, device: str) -> tuple[Networks, bool]:
    """The run's networks, loaded once per process and kept for later runs.

    Returns
    -------
    tuple
        (networks, whether this call loaded them).

    Raises
    ------
    WeightsError
        The weights that this worker finds are not those of the run.
    """
    import torch

    from spinenet.weights.networks import load_networks

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if THREADS_VARIABLE in os.environ:
        torch.set_num_threads(int(os.environ[THREADS_VARIABLE]))
    with _holding:
        held = _held.get((ref.fingerprint, device))
        if held is not None:
            return held, False
        bundle = weights.resolve(ref.source)
        if bundle.fingerprint != ref.fingerprint:
            raise WeightsError(
                f"worker {_here()} has other weights under {ref.source} than the run was begun with"
            )
        networks = load_networks(bundle, device)
        _held.clear()
        _held[ref.fingerprint, device] = networks
        return networks, True


def _here() -> str:
    try:
        worker = get_worker()
    except ValueError:
        return "no worker"
    return f"{worker.name} {'+'.join(sorted(worker.state.total_resources))}".strip()


def _provenance(ref: WeightsRef) -> Provenance:
    return Provenance(ref.name, ref.fingerprint, version(), importlib.metadata.version("torch"))


def version() -> str:
    """Version of the package that runs here."""
    return spinenet.__version__
