"""One scan of a run, from its row of the manifest to its rows of the tables: decoded, then inferred from."""

from __future__ import annotations

import importlib.metadata
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import spinenet
from spinenet.cohort.checkpoints import Detections
from spinenet.cohort.domain_flag import flagged
from spinenet.cohort.manifests.manifest import Entry
from spinenet.cohort.rows import Failure, Provenance, ScanFacts, ScanRows, failed_rows, result_rows
from spinenet.errors import RunError, ScanError, WeightsError
from spinenet.geometry import reading_on_grid, to_square_pixels
from spinenet.inference.device_errors import DeviceFailed, is_device_error
from spinenet.readers.series import read_scan
from spinenet.settings import Settings
from spinenet.storage.causes import scan_error
from spinenet.timelimit import SECONDS_PER_SCAN, time_limit
from spinenet.types import Scan, SpineReading
from spinenet.weights.domain import Domain
from spinenet.weights.loaded import WeightsRef, networks_for

if TYPE_CHECKING:
    from spinenet.weights.networks import Networks

T = TypeVar("T")

Trace = tuple[tuple[str, str], ...]
"""(kind of step, worker that did it) pairs; a worker is its name and resources, such as "gpu-0 GPU"."""


@dataclass(frozen=True)
class Orders:
    """What is the same for every scan of a run.

    Attributes
    ----------
    seconds
        Time limit of each step of a scan.
    domain
        What the weights are for; None where that is not known.
    version
        Of the package that began the run; a process with another one does nothing.
    """

    weights: WeightsRef
    settings: Settings
    device: str = "auto"
    seconds: float = SECONDS_PER_SCAN
    domain: Domain | None = None
    version: str = field(default_factory=lambda: version())

    def refuse_other_version(self, here: str) -> None:
        """Raise RunError if this process, named ``here``, has another version of the package."""
        if version() != self.version:
            raise RunError(
                f"{here} has spinenet {version()} and the flow {self.version}; install the same on both"
            )


@dataclass(frozen=True, eq=False)
class Decoded:
    """A scan on its way to inference, or why it got no further.

    Attributes
    ----------
    scan
        With square pixels; None where reading failed.
    facts
        Of the scan as stored.
    seconds
        Wall time by stage.
    """

    entry: Entry
    scan: Scan | None
    facts: ScanFacts | None
    failure: Failure | None
    seconds: Mapping[str, float]
    trace: Trace = ()


@dataclass(frozen=True, eq=False)
class Outcome:
    """All that a shard needs of a finished scan."""

    rows: ScanRows
    detections: Detections | None = None
    trace: Trace = ()


def decode(entry: Entry, orders: Orders, here: str) -> Decoded:
    """Read and decode a scan and bring it to square pixels. Never raises for a scan's own fault.

    Parameters
    ----------
    here
        Name of the worker that does it, for the trace.
    """
    started = time.perf_counter()

    def read() -> tuple[Scan, ScanFacts]:
        stored = read_scan(entry.path, series_uid=entry.series_uid, overrides=entry.overrides)
        return to_square_pixels(stored), ScanFacts.of(stored)

    result = _guarded(read, orders.seconds)
    seconds, trace = {"read": time.perf_counter() - started}, (("decode", here),)
    if isinstance(result, Failure):
        return Decoded(entry, None, None, result, seconds, trace)
    scan, facts = result
    return Decoded(entry, scan, facts, None, seconds, trace)


def infer(
    decoded: Decoded,
    orders: Orders,
    here: str,
    detections: Detections | None = None,
) -> Outcome:
    """Detect, label and grade a decoded scan, and make its rows.

    Parameters
    ----------
    here
        Name of the worker that does it, for the trace and for errors.
    detections
        Of an earlier start; taken instead of detecting again if they were found in the same input.

    Raises
    ------
    DeviceFailed
        The GPU failed: this process can do no more with it.
    WeightsError
        This process has not the run's weights: no fault of the scan.
    """
    entry, scan, facts = decoded.entry, decoded.scan, decoded.facts
    made_by = Provenance(
        orders.weights.name, orders.weights.fingerprint, version(), importlib.metadata.version("torch")
    )
    if scan is None or facts is None:
        failure = replace(decoded.failure or Failure("internal_error", ""), seconds=decoded.seconds)
        return Outcome(failed_rows(entry, failure, made_by), None, decoded.trace)
    networks, loaded = networks_for(orders.weights, orders.device, here)
    trace = (*decoded.trace, ("inference", here), *((("load", here),) if loaded else ()))
    reading = _guarded(lambda: _reading(scan, facts, networks, orders.settings, detections), orders.seconds)
    if isinstance(reading, Failure):
        failure = replace(reading, seconds=decoded.seconds)
        return Outcome(failed_rows(entry, failure, made_by, flagged(facts, orders.domain)), None, trace)
    seconds = {**decoded.seconds, **reading.seconds}
    detected = Detections(facts.fingerprint, reading.detections)
    # what is no spine has no levels to go by
    levels = [] if reading.not_a_spine else [vertebra.level for vertebra in reading.vertebrae]
    shown = flagged(facts, orders.domain, levels)
    if not reading.vertebrae:
        failure = Failure("no_vertebrae", "no vertebra was found in the scan", seconds)
        return Outcome(failed_rows(entry, failure, made_by, shown), detected, trace)
    stored = replace(reading_on_grid(reading, scan.pixel_spacing, facts.pixel_spacing), seconds=seconds)
    return Outcome(result_rows(entry, shown, stored, made_by, networks.findings), detected, trace)


def failed(entry: Entry, failure: Failure, orders: Orders, trace: Trace = ()) -> Outcome:
    """The outcome of a scan whose process could not say it."""
    made_by = Provenance(orders.weights.name, orders.weights.fingerprint, version(), "")
    return Outcome(failed_rows(entry, failure, made_by), None, trace)


def version() -> str:
    """Version of the package that runs here."""
    return spinenet.__version__


def _reading(
    scan: Scan, facts: ScanFacts, networks: Networks, settings: Settings, detections: Detections | None
) -> SpineReading:
    """What the networks make of a scan with square pixels, in its own pixels."""
    # Not above: processes that only decode do without torch, which takes seconds to import.
    from spinenet.inference.pipeline import read_square

    same_input = detections is not None and detections.input_fingerprint == facts.fingerprint
    return read_square(scan, networks, settings, detections.vertebrae if detections and same_input else None)


def _guarded(action: Callable[[], T], seconds: float) -> T | Failure:
    """The action's result, or the reason why a scan has none."""
    try:
        with time_limit(seconds):
            return action()
    except ScanError as error:
        return Failure(error.reason, error.detail)
    except WeightsError:
        raise
    except Exception as error:
        if is_device_error(error):
            raise DeviceFailed(_where(error)) from None
        cause = scan_error(error)
        return Failure(cause.reason, cause.detail) if cause else Failure("internal_error", _where(error))


def _where(error: Exception) -> str:
    """An error's class and place. Its text is left out: it may quote a header."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(place.filename).name} line {place.lineno}"
