"""A time limit strikes its block and nothing else, however close the two ends are."""

from __future__ import annotations

import gc
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from spinenet.errors import ScanError
from spinenet.timelimit import time_limit

ROUNDS = 3000
"""Of all threads together; before, some in a thousand went wrong."""

SECONDS = 0.0004


@pytest.fixture(autouse=True)
def _often_switching() -> Iterator[None]:
    """Threads take turns so often that an exception meets every instruction sooner or later."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    # The exception may strike in a finaliser, which drops it, and it is sent again. In those of the test's
    # own tools (hypothesis has one that times the collector) it would be reported as a failure.
    gc.disable()
    yield
    gc.enable()
    sys.setswitchinterval(before)


def spin(seconds: float) -> None:
    """Work in Python until a moment near the limit's."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def rounds(count: int, seed: int, nested: bool) -> Counter[str]:
    """What some blocks came to, and what struck the thread outside them."""
    dice, told = random.Random(seed), Counter[str]()
    for _ in range(count):
        inner, outer = SECONDS * dice.uniform(0.5, 1.5), SECONDS * dice.uniform(0.5, 1.5)
        try:
            try:
                with time_limit(outer):
                    if nested:
                        with time_limit(inner):
                            spin(SECONDS * dice.uniform(0.0, 2.0))
                    spin(SECONDS * dice.uniform(0.0, 2.0))
                told["done"] += 1
            except ScanError as error:
                told[error.reason] += 1
        except BaseException as error:
            told[f"escaped: {error!r}"] += 1
        try:
            spin(SECONDS / 4)
        except BaseException as error:
            told[f"struck later: {error!r}"] += 1
    return told


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("threads", [1, 4])
def test_every_block_ends_as_done_or_as_stopped(threads: int, nested: bool) -> None:
    told: Counter[str] = Counter()
    each = ROUNDS // threads // 4
    pool = [
        threading.Thread(target=lambda seed=seed: told.update(rounds(each, seed, nested)))
        for seed in range(threads)
    ]
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join()
    assert set(told) == {"done", "time_limit"}
    assert told.total() == each * threads


def test_the_blocks_own_end_is_left_as_it_is() -> None:
    def returning() -> int:
        with time_limit(10):
            return 7

    assert returning() == 7
    with pytest.raises(KeyError, match="own"), time_limit(10):
        raise KeyError("own")


@pytest.mark.parametrize("swallows", [Exception, BaseException])
def test_a_block_that_swallows_the_exception_is_stopped_all_the_same(swallows: type[BaseException]) -> None:
    started = time.monotonic()

    def stubborn() -> None:
        for _ in range(4):
            try:
                spin(20)
            except swallows:
                continue

    with pytest.raises(ScanError, match="time_limit"), time_limit(0.2):
        stubborn()
    assert time.monotonic() - started < 10


def test_the_inner_of_two_leaves_the_outer_one_armed() -> None:
    caught: list[str] = []
    started = time.monotonic()

    def twice() -> None:
        try:
            with time_limit(0.1):
                spin(20)
        except ScanError as error:
            caught.append(error.detail)
        spin(20)

    with pytest.raises(ScanError, match=r"0\.5 seconds"), time_limit(0.5):
        twice()
    assert caught == ["stopped after 0.1 seconds"]
    assert time.monotonic() - started < 10


def test_the_outer_of_two_strikes_within_the_inner_one() -> None:
    with pytest.raises(ScanError, match=r"0\.1 seconds"), time_limit(0.1), time_limit(30):
        spin(20)


def test_nothing_ends_the_process_after_a_block_that_was_left() -> None:
    """The end of the process is for work that does not come back, not for a late exception."""
    script = f"""
import sys, time
sys.path[:0] = {sys.path!r}
from test_timelimit import rounds
import spinenet.timelimit as t
t.time_limit.__init__.__defaults__ = (0.2,)
sys.setswitchinterval(1e-6)
told = rounds(1000, 5, True)
time.sleep(1.0)
print(sorted(told))
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip() == "['done', 'time_limit']"
