"""Turns a cluster's name into the address of a Dask scheduler with two classes of workers."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from distributed import Client, Nanny, Security

from flows.clusters.names import LOCAL, check_cluster_name, is_loopback
from flows.clusters.supervision import local_cluster
from flows.clusters.surroundings import check_surroundings
from flows.clusters.worker_memory import limited
from flows.cores import cores
from spinenet.errors import RunError
from spinenet.gpus import gpu_names
from spinenet.weights.loaded import THREADS_VARIABLE

CPU, GPU = "CPU", "GPU"
"""Resources that workers declare: CPU for decoding, GPU for inference (on whatever device)."""

THREADS_PER_PROCESS = 4
"""Threads of a worker without a GPU: few, as they share Python's lock, and a crash loses few scans."""

ANSWER_S = 30.0
"""How long a scheduler may take to answer."""

log = logging.getLogger("spinenet")


@dataclass(frozen=True)
class Slots:
    """Number of scans that the workers of each class process at a time."""

    cpu: int
    gpu: int


@dataclass(frozen=True)
class Cluster:
    """Address and credentials of a Dask scheduler.

    Attributes
    ----------
    address
        URL of the scheduler.
    security
        Certificates of a local cluster; None takes those of Dask's configuration.
    trouble
        Function that returns the reason why a local cluster has lost its workers for good, or None.
    wait
        Function that returns once all workers of a local cluster have started.
    """

    address: str
    security: Security | None = None
    trouble: Callable[[], str | None] = lambda: None
    wait: Callable[[], None] = lambda: None


def header_workers() -> dict[str, Any]:
    """Specifications of one CPU-class process for each core, as reading headers holds Python's lock."""
    return {f"cpu-{index}": nanny(1, {CPU: 1}, {"CUDA_VISIBLE_DEVICES": ""}) for index in range(cores())}


@contextmanager
def cluster_address(name: str, workers: Callable[[], dict[str, Any]] | None = None) -> Iterator[Cluster]:
    """Provide the scheduler called ``name``; a local cluster may still be starting, and ends with the block.

    Parameters
    ----------
    name
        "local", or the address of a running scheduler.
    workers
        Function that specifies the workers of a local cluster; None specifies both classes, sized to the
        machine.

    Raises
    ------
    ClusterNameError
        The name is neither.
    RunError
        This machine cannot start workers.
    """
    check_cluster_name(name)
    if name == LOCAL:
        specified = (workers or _local_workers)()
        check_surroundings(len(specified))
        with local_cluster(limited(specified)) as supervisor:
            yield Cluster(supervisor.address, supervisor.security, supervisor.trouble, supervisor.wait)
    else:
        if name.startswith("tcp://") and not is_loopback(name):
            log.warning(
                "whoever reaches %s can run programs as the owner of its workers; "
                "use tls:// with certificates in Dask's configuration",
                name,
            )
        yield Cluster(name)


@contextmanager
def connected(cluster: Cluster, timeout: float = ANSWER_S) -> Iterator[Client]:
    """Connect a client to a scheduler, once its local workers have started.

    Raises
    ------
    RunError
        No scheduler answers, it refuses this client, or a local worker does not start.
    """
    cluster.wait()
    address, security = cluster.address, cluster.security or Security()
    if address.startswith("tls://") and not _has_certificates(security):
        raise RunError(
            f"{address} needs certificates; name them in Dask's configuration, as "
            "DASK_DISTRIBUTED__COMM__TLS__CA_FILE, ...__CLIENT__CERT and ...__CLIENT__KEY"
        )
    try:
        client = Client(
            address, security=security, timeout=timeout, set_as_default=False, name="spinenet-flow"
        )
    except (OSError, TimeoutError) as error:
        raise RunError(
            f"no Dask scheduler answers at {address} or it does not know this client; start one there or "
            "name another"
        ) from error
    except RuntimeError as error:
        # raised by Dask where encryption is required and the address is not tls://
        raise RunError(f"cannot connect to {address}: {error}") from error
    with client:
        yield client


def wait_for_slots(client: Client, patience: float = 60.0, classes: Sequence[str] = (CPU, GPU)) -> Slots:
    """Wait for at least one worker of each of ``classes``, and count the slots of all workers.

    Raises
    ------
    RunError
        A class of workers does not appear within ``patience`` seconds.
    """
    deadline = time.monotonic() + patience
    while True:
        offered = offered_by(client)
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


def offered_by(client: Client, timeout: float = ANSWER_S) -> dict[str, float]:
    """Sum the resources of all running workers, by name.

    Raises
    ------
    TimeoutError
        The scheduler does not answer in time.
    OSError
        The client is not connected.
    """
    workers = workers_of(client, timeout).values()
    running = [worker for worker in workers if worker.get("status", "running") == "running"]
    return {r: sum(worker["resources"].get(r, 0) for worker in running) for r in (CPU, GPU)}


def workers_of(client: Client, timeout: float = ANSWER_S) -> Mapping[str, Any]:
    """The scheduler's information about each worker, by its address.

    Raises
    ------
    TimeoutError
        The scheduler does not answer in time.
    OSError
        The client is not connected.
    """
    if client.scheduler is None:
        raise OSError("the client is closed")
    # not scheduler_info(), which may return the answer to another caller that asked for no workers
    identity = client.sync(client.scheduler.identity, n_workers=-1, callback_timeout=timeout)
    workers: Mapping[str, Any] = identity["workers"]
    return workers


def _has_certificates(security: Security) -> bool:
    tls = security.get_tls_config_for_role("client")
    return bool(tls["ca_file"] and tls["cert"])


def _local_workers() -> dict[str, Any]:
    """CPU-class processes for all cores but one, and a GPU-class one for each GPU, or else for all cores."""
    workers = {
        f"cpu-{index}": nanny(threads, {CPU: threads}, {"CUDA_VISIBLE_DEVICES": ""})
        for index, threads in enumerate(_by_process(max(1, cores() - 1)))
    }
    gpus = len(gpu_names())
    for index in range(gpus):
        environment = {THREADS_VARIABLE: str(max(1, cores() // gpus)), "CUDA_VISIBLE_DEVICES": _device(index)}
        workers[f"gpu-{index}"] = nanny(1, {GPU: 1}, environment)
    if not gpus:
        # parallel scans keep all cores busy, whereas threads that share a scan wait for each other
        for index, threads in enumerate(_by_process(cores())):
            workers[f"gpu-{index}"] = nanny(threads, {GPU: threads}, {THREADS_VARIABLE: "1"})
    return workers


def _by_process(threads: int) -> list[int]:
    """Split a number of threads over processes of at most :data:`THREADS_PER_PROCESS`."""
    whole, rest = divmod(threads, THREADS_PER_PROCESS)
    return [THREADS_PER_PROCESS] * whole + [rest] * bool(rest)


def _device(index: int) -> str:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[index] if visible else str(index)


def nanny(threads: int, resources: Mapping[str, int], environment: Mapping[str, str]) -> dict[str, Any]:
    """Specification of a local worker for :class:`distributed.SpecCluster`."""
    options = {
        "nthreads": threads,
        "resources": dict(resources),
        "env": dict(environment),
        "preload": ["flows.clusters.preload"],
        "host": "127.0.0.1",
        "dashboard": False,
        "dashboard_address": "127.0.0.1:0",
    }
    return {"cls": Nanny, "options": options}
