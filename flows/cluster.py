"""A cluster's name becomes the address of a Dask scheduler with two classes of workers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dask
import torch
from distributed import Client, Nanny, Scheduler, SpecCluster

from flows.addresses import LOCAL, check_cluster_name
from flows.surroundings import check_surroundings
from flows.worker_memory import ONLY_ENDED, limited
from flows.workers import THREADS_VARIABLE
from spinenet.errors import RunError

CPU, GPU = "CPU", "GPU"
"""Resources that workers declare: CPU for decoding, GPU for inference (on whatever device)."""

THREADS_PER_PROCESS = 4
"""Of a CPU-class worker: decoding holds Python's lock for part of its time, and a crash takes few scans."""


@dataclass(frozen=True)
class Slots:
    """How many scans the workers of each class take at once."""

    cpu: int
    gpu: int


def header_workers() -> dict[str, Any]:
    """A CPU-class process for each core: reading headers holds Python's lock all the time."""
    return {f"cpu-{index}": nanny(1, {CPU: 1}, {"CUDA_VISIBLE_DEVICES": ""}) for index in range(cores())}


@contextmanager
def cluster_address(name: str, workers: Callable[[], dict[str, Any]] | None = None) -> Iterator[str]:
    """Address of the scheduler that ``name`` stands for; a local cluster ends with the block.

    Parameters
    ----------
    name
        "local", or the address of a scheduler that runs already.
    workers
        Makes the workers of a local cluster; None makes both classes, sized to the machine.

    Raises
    ------
    ClusterNameError
        The name is none of these.
    RunError
        This machine cannot start workers.
    """
    check_cluster_name(name)
    if name == LOCAL:
        check_surroundings()
        # No second try by Dask: the flow itself tries again, one scan at a time, what a lost worker held.
        with (
            dask.config.set({"distributed.scheduler.allowed-failures": 0, **ONLY_ENDED}),
            SpecCluster(
                workers=limited((workers or _local_workers)()), scheduler=_local_scheduler(), silence_logs=50
            ) as cluster,
        ):
            yield cluster.scheduler_address
    else:
        yield name


@contextmanager
def connected(address: str, timeout: float = 30.0) -> Iterator[Client]:
    """A client of the scheduler at ``address``.

    Raises
    ------
    RunError
        Nothing answers there.
    """
    try:
        client = Client(address, timeout=timeout, set_as_default=False, name="spinenet-flow")
    except (OSError, TimeoutError) as error:
        raise RunError(f"no Dask scheduler answers at {address}; start one there or name another") from error
    with client:
        yield client


def wait_for_slots(client: Client, patience: float = 60.0, classes: Sequence[str] = (CPU, GPU)) -> Slots:
    """Count what the workers offer, once there is at least one of each of ``classes``.

    Raises
    ------
    RunError
        A class of workers does not appear within ``patience`` seconds.
    """
    deadline = time.monotonic() + patience
    while True:
        offered = _offered(client)
        missing = [resource for resource in classes if offered[resource] < 1]
        if not missing:
            return Slots(cpu=int(offered[CPU]), gpu=int(offered[GPU]))
        if time.monotonic() > deadline:
            address = client.scheduler.address if client.scheduler else "the scheduler"
            raise RunError(
                f"{address} has no worker with the resource {' and none with '.join(missing)}; "
                f"start one with: dask worker {address} --resources {missing[0]}=1"
            )
        time.sleep(0.2)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _offered(client: Client) -> Mapping[str, float]:
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return {r: sum(worker["resources"].get(r, 0) for worker in workers) for r in (CPU, GPU)}


def _local_scheduler() -> dict[str, Any]:
    return {
        "cls": Scheduler,
        "options": {"host": "127.0.0.1", "port": 0, "dashboard": False, "dashboard_address": "127.0.0.1:0"},
    }


def _local_workers() -> dict[str, Any]:
    """CPU-class processes for all cores but one, and one GPU-class process for each GPU, or one without."""
    gpus = torch.cuda.device_count()
    workers, left = {}, max(1, cores() - 1)
    for index in range(-(-left // THREADS_PER_PROCESS)):
        threads = min(THREADS_PER_PROCESS, left - index * THREADS_PER_PROCESS)
        workers[f"cpu-{index}"] = nanny(threads, {CPU: threads}, {"CUDA_VISIBLE_DEVICES": ""})
    for index in range(max(1, gpus)):
        environment = {THREADS_VARIABLE: str(max(1, cores() // max(1, gpus)))}
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = _device(index)
        workers[f"gpu-{index}"] = nanny(1, {GPU: 1}, environment)
    return workers


def _device(index: int) -> str:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[index] if visible else str(index)


def nanny(threads: int, resources: Mapping[str, int], environment: Mapping[str, str]) -> dict[str, Any]:
    """A local worker of so many threads, as :class:`distributed.SpecCluster` takes it."""
    options = {
        "nthreads": threads,
        "resources": dict(resources),
        "env": dict(environment),
        "preload": ["flows.interrupts"],
        "host": "127.0.0.1",
        "dashboard": False,
    }
    return {"cls": Nanny, "options": options}
