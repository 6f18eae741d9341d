"""A local worker that takes too much memory is ended, and the run goes on."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
from distributed import Client, KilledWorker

from flows.clusters.address import CPU, cluster_address, connected, nanny, wait_for_slots
from flows.clusters.worker_memory import LEAST_BYTES, limited, share

GIB = 1 << 30


def test_workers_share_the_memory_and_none_has_too_little() -> None:
    assert share(2, 64 * GIB) == int(0.9 * 32 * GIB)
    assert share(64, 64 * GIB) == LEAST_BYTES
    assert share(2, 3 * GIB) == 3 * GIB


def test_every_worker_gets_its_share() -> None:
    workers = limited({"a": nanny(1, {CPU: 1}, {}), "b": nanny(2, {CPU: 2}, {})})
    assert {worker["options"]["memory_limit"] for worker in workers.values()} == {share(2)}
    assert workers["b"]["options"]["nthreads"] == 2


def _take(gib: int) -> tuple[int, int]:
    held = bytearray(gib * GIB)
    held[::4096] = bytes(len(held[::4096]))
    time.sleep(20 if gib > 1 else 0)
    return os.getpid(), len(held)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setattr("flows.clusters.worker_memory.share", lambda workers: 2 * GIB)

    def one() -> dict[str, Any]:
        return {"cpu-0": nanny(1, {CPU: 1}, {})}

    with cluster_address("local", one) as address, connected(address) as client:
        wait_for_slots(client, classes=(CPU,))
        yield client


@pytest.mark.slow
def test_who_takes_too_much_is_ended_and_others_are_not(client: Client) -> None:
    with pytest.raises(KilledWorker):
        client.submit(_take, 3, resources={CPU: 1}).result(timeout=60)
    # most of the limit neither pauses the worker nor ends it
    assert client.submit(_take, 1, resources={CPU: 1}).result(timeout=60)[1] == GIB
