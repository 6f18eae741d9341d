"""The two tasks of a scan on Dask workers: decode on a CPU-class worker, infer on a GPU-class one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from distributed import get_worker

from flows.devices import ends_with_its_device
from spinenet.cohort import scan
from spinenet.cohort.checkpoints import Detections
from spinenet.cohort.manifests.manifest import Entry
from spinenet.cohort.scan import Decoded, Orders, Outcome
from spinenet.memory import keep_freed


def decode(entry: Entry, orders: Orders) -> Decoded:
    """:func:`spinenet.cohort.scan.decode` as a task.

    Raises
    ------
    RunError
        This worker has another version of the package than the flow.
    """
    orders.refuse_other_version(f"worker {here()}")
    keep_freed()
    return scan.decode(entry, orders, here())


def infer(decoded: Decoded, orders: Orders, detections: Detections | None = None) -> Outcome:
    """:func:`spinenet.cohort.scan.infer` as a task; a worker whose GPU failed ends after it.

    Raises
    ------
    DeviceFailed
        The GPU failed.
    WeightsError, RunError
        This worker has not the run's weights, or another version of the package: no fault of the scan.
    """
    orders.refuse_other_version(f"worker {here()}")
    keep_freed()
    with ends_with_its_device():
        return scan.infer(decoded, orders, here(), detections)


@dataclass(frozen=True)
class Steps:
    """The two tasks of a scan, by functions that workers can import."""

    decode: Callable[[Entry, Orders], Decoded] = decode
    infer: Callable[[Decoded, Orders, Detections | None], Outcome] = infer


STEPS = Steps()


def here() -> str:
    """Name and resources of the Dask worker that this is, such as "gpu-0 GPU"."""
    try:
        worker = get_worker()
    except ValueError:
        return "no worker"
    return f"{worker.name} {'+'.join(sorted(worker.state.total_resources))}".strip()
