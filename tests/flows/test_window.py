"""Room for scans on the cluster: never more than there is, in lots, nobody left without."""

from __future__ import annotations

import random
import threading
import time

import pytest

from flows.clusters.address import Slots
from flows.window import Window


def test_lots_are_half_the_window() -> None:
    window = Window(8)
    assert window.take(100, 0) == 8
    window.give(3)
    assert window.take(100, 0) == 0
    assert window.take(2, 0) == 2
    window.give(5)
    assert window.take(100, 0) == 6


def test_room_is_waited_for() -> None:
    window = Window(2)
    assert window.take(2, 0) == 2
    threading.Timer(0.1, window.give, (2,)).start()
    began = time.monotonic()
    assert window.take(1, 30) == 1
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("size", [1, 3, 16])
def test_many_shards_share_one_window(size: int) -> None:
    window, lock = Window(size), threading.Lock()
    inside = most = done = 0

    def shard(seed: int) -> None:
        nonlocal inside, most, done
        chance, left = random.Random(seed), 50
        while left:
            room = window.take(left, 1)
            with lock:
                inside += room
                most = max(most, inside)
            left -= room
            time.sleep(chance.uniform(0, 0.001))
            with lock:
                inside -= room
                done += room
            window.give(room)

    threads = [threading.Thread(target=shard, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (done, inside) == (200, 0)
    assert most <= size


@pytest.mark.parametrize(
    ("slots", "shard_size", "shards"), [((1, 1), 64, 2), ((1, 1), 4, 5), ((360, 10), 64, 25), ((5, 1), 1, 25)]
)
def test_enough_shards_fill_the_window(slots: tuple[int, int], shard_size: int, shards: int) -> None:
    window = Window.over(Slots(*slots))
    assert window.shards_in_flight(shard_size) == shards
    assert (shards - 1) * shard_size >= window.size
