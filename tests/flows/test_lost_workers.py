"""Workers that are killed, frozen or do not start: they are replaced, or the run ends and says so."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from distributed import Client, Nanny, Scheduler, SpecCluster, Worker

from flows import watch
from flows.clusters import supervision
from flows.clusters.address import CPU, GPU, Cluster, cluster_address, connected, nanny, wait_for_slots
from flows.cohort_run import RunSummary, Way, run_cohort
from flows.watch import WorkerWatch
from flows.workers import Steps
from spinenet.cohort.manifests.manifest import Entry
from spinenet.cohort.request import RunRequest
from spinenet.cohort.scan import Decoded, Orders
from spinenet.errors import RunError
from spinenet.memory import WORKER_ENVIRONMENT
from support import no_op_steps


def one_of_each() -> dict[str, Any]:
    """The smallest cluster."""
    return {"cpu-0": nanny(1, {CPU: 1}, {}), "gpu-0": nanny(1, {GPU: 1}, {})}


@pytest.fixture(scope="module")
def local() -> Iterator[tuple[Cluster, Client]]:
    with cluster_address("local", one_of_each) as cluster, connected(cluster) as client:
        yield cluster, client


def workers(client: Client) -> dict[str, int]:
    """Process of each worker by its name."""
    known = client.scheduler_info(n_workers=-1)["workers"]
    return {
        known[address]["name"]: pid
        for address, pid in client.run(os.getpid, on_error="ignore").items()
        if address in known
    }


def wait_until(true: Callable[[], bool], patience: float = 180) -> float:
    """Seconds that it took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < patience
        time.sleep(0.1)
    return time.monotonic() - began


def starting(but: set[int]) -> list[psutil.Process]:
    """Worker processes that have no name yet."""
    found = []
    for process in psutil.Process().children():
        # one that was killed has no command any more
        with suppress(psutil.ZombieProcess):
            if process.pid not in but and "spawn_main" in " ".join(process.cmdline()):
                found.append(process)
    return found


def test_killed_workers_come_back_even_if_one_is_killed_while_it_starts(
    local: tuple[Cluster, Client],
) -> None:
    cluster, client = local
    before = workers(client)
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    # the second one, before it is ready
    wait_until(lambda: bool(starting(set(before.values()))))
    starting(set(before.values()))[0].kill()
    wait_until(lambda: len(workers(client)) == 2)
    assert wait_for_slots(client).gpu == 1
    assert not set(before.values()) & set(workers(client).values())
    assert cluster.trouble() is None


async def forget(dask_scheduler: Any, address: str) -> None:
    await dask_scheduler.remove_worker(address, stimulus_id="a connection that broke", close=False)


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_a_frozen_worker_is_replaced(
    known: bool, local: tuple[Cluster, Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, client = local
    wait_until(lambda: len(workers(client)) == 2)
    frozen = workers(client)["cpu-0"]
    told = client.scheduler_info(n_workers=-1)["workers"]
    (address,) = (address for address, worker in told.items() if worker["name"] == "cpu-0")
    os.kill(frozen, signal.SIGSTOP)
    if not known:
        client.run_on_scheduler(forget, address=address)
    monkeypatch.setattr(supervision, "SILENCE_S", 3.0)
    wait_until(lambda: not psutil.pid_exists(frozen))
    monkeypatch.undo()
    wait_until(lambda: workers(client).get("cpu-0", frozen) != frozen)


class FailingSupervisor(supervision.Supervisor):
    """Cannot look after its workers."""

    def _look(self, now: float, passed: float) -> None:
        raise OSError("no such process table")


def test_a_supervisor_that_fails_is_no_reason_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "Supervisor", FailingSupervisor)
    with (
        pytest.raises(RunError, match=r"local workers cannot be looked after: OSError.*no such process"),
        cluster_address("local", one_of_each) as started,
        connected(started),
    ):
        pass


class NoNanny(Nanny):
    """Cannot start a worker."""

    async def start_unsafe(self) -> Nanny:
        raise OSError("no such library")


def test_workers_that_do_not_start_end_the_run_with_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "PAUSE_S", 0.1)
    broken = {**nanny(1, {CPU: 1}, {}), "cls": NoNanny}
    with (
        pytest.raises(
            RunError, match=r"the local worker cpu-0 does not start, 3 times: OSError.*no such lib"
        ),
        cluster_address("local", lambda: {"cpu-0": broken}) as started,
        connected(started),
    ):
        pass


def test_a_nanny_that_has_closed_is_replaced(local: tuple[Cluster, Client]) -> None:
    _, client = local
    before = workers(client)["gpu-0"]
    known = client.scheduler_info(n_workers=-1)["workers"]
    (of_gpu,) = (worker["nanny"] for worker in known.values() if worker["name"] == "gpu-0")

    async def close() -> None:
        # as Dask itself does with a nanny whose worker has not come back; it may not answer any more
        with suppress(OSError):
            await client.rpc(of_gpu).terminate()

    client.sync(close)
    wait_until(lambda: workers(client).get("gpu-0", before) != before)


@pytest.fixture
def two_threads() -> Iterator[tuple[SpecCluster, Client]]:
    """A cluster that others look after: a lost worker stays lost."""
    listen = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    scheduler = {"cls": Scheduler, "options": {**listen, "dashboard": False}}
    specs = {name: {"cls": Worker, "options": {**listen, "resources": {name: 1}}} for name in (CPU, GPU)}
    with (
        SpecCluster(workers=specs, scheduler=scheduler, silence_logs=50) as cluster,
        connected(Cluster(str(cluster.scheduler_address))) as client,
    ):
        yield cluster, client


def test_a_class_without_workers_is_told_and_then_ends_the_run(
    two_threads: tuple[SpecCluster, Client], caplog: pytest.LogCaptureFixture
) -> None:
    cluster, client = two_threads
    looks = WorkerWatch(Cluster("tcp://x"), client, (CPU, GPU), patience=60)
    with caplog.at_level(logging.WARNING, "spinenet"):
        looks.look(20)
        looks.refuse_if_lost()
        assert not caplog.messages
        del cluster.worker_spec[GPU]
        cluster.scale(1)
        wait_until(lambda: len(workers(client)) == 1)
        looks.look(20)
        looks.refuse_if_lost()
        assert caplog.messages == [
            "there is no worker left with the resource GPU; waiting for up to 60 seconds"
        ]
        looks.look(39)
        looks.refuse_if_lost()
        looks.look(2)
    with pytest.raises(
        RunError, match="there is no worker left with the resource GPU, for 60 seconds; start"
    ):
        looks.refuse_if_lost()
    assert len(caplog.messages) == 1


def test_a_class_that_has_workers_again_is_told_too(
    two_threads: tuple[SpecCluster, Client], caplog: pytest.LogCaptureFixture
) -> None:
    cluster, client = two_threads
    looks = WorkerWatch(Cluster("tcp://x"), client, (CPU, GPU), patience=60)
    spec = cluster.worker_spec.pop(GPU)
    cluster.scale(1)
    wait_until(lambda: len(workers(client)) == 1)
    looks.look(50)
    cluster.worker_spec[GPU] = spec
    cluster.scale(2)
    wait_until(lambda: len(workers(client)) == 2)
    with caplog.at_level(logging.WARNING, "spinenet"):
        looks.look(50)
    assert caplog.messages[-1] == "there is a worker with the resource GPU again; the run goes on"
    looks.refuse_if_lost()


def test_workers_start_with_what_inference_needs(
    local: tuple[Cluster, Client],
) -> None:
    _, client = local
    for environment in client.run(lambda: dict(os.environ)).values():
        assert WORKER_ENVIRONMENT.items() <= environment.items()
        assert environment["OMP_NUM_THREADS"] == "1"


losing: list[SpecCluster] = []


def decode_and_lose(entry: Entry, orders: Orders) -> Decoded:
    """Stands in for the decoder: while it works, the only worker for inference ends for good."""
    if losing:
        cluster = losing.pop()
        del cluster.worker_spec[GPU]
        cluster.scale(1)
    return no_op_steps.decode(entry, orders)


def test_a_run_whose_scans_wait_for_workers_that_are_gone_ends_and_goes_on_later(
    two_threads: tuple[SpecCluster, Client], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, _ = two_threads
    manifest, out = tmp_path / "manifest.csv", tmp_path / "out"
    manifest.write_text("scan_id,path\n" + "".join(f"s{i},p{i}\n" for i in range(40)), encoding="utf-8")
    monkeypatch.setattr(watch, "PATIENCE_S", 4.0)
    losing.append(cluster)

    def run(steps: Steps) -> RunSummary:
        place = str(cluster.scheduler_address)
        request = RunRequest(manifest=str(manifest), out=str(out), weights="synthetic", shard_size=8)
        return run_cohort(request, Way(place, prefect=False, steps=steps))

    spec = cluster.worker_spec[GPU]
    with pytest.raises(RunError, match="no worker left with the resource GPU, for 4 seconds; start the run"):
        run(Steps(decode_and_lose, no_op_steps.infer))
    cluster.worker_spec[GPU] = spec
    cluster.scale(2)
    assert run(no_op_steps.STEPS).states["done"] == 40
