"""Writers who all want to create one file at the same moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from spinenet.storage import Store


def assert_one_winner(store: Store, n_threads: int, n_races: int) -> None:
    """Of the threads that create a file at once, one is told that it did, and the file is its own."""
    barrier = Barrier(n_threads)

    def race(me: int, record: str) -> bool:
        barrier.wait(timeout=60)
        return store.create(record, bytes([me]) * 1000)

    with ThreadPoolExecutor(n_threads) as pool:
        for i in range(n_races):
            won = list(pool.map(race, range(n_threads), [f"commits/{i}"] * n_threads))
            assert sum(won) == 1
            assert store.read(f"commits/{i}") == bytes([won.index(True)]) * 1000
