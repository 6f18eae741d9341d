"""Work with a bundle's networks that other processes do, each of which loads them once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeVar

from spinenet.cohort.process_steps import side_by_side_pool
from spinenet.weights import Bundle
from spinenet.weights.loaded import WeightsRef, networks_for
from spinenet.weights.networks import Networks

Item = TypeVar("Item")
Made = TypeVar("Made")


def side_by_side(
    work: Callable[[Networks, Item], Made], bundle: Bundle, items: Iterable[Item], *, processes: int
) -> Iterator[Made]:
    """What a function makes of each item with the networks of a bundle, in the items' order.

    Parameters
    ----------
    work
        Can be pickled, and so can items and what is made of them.
    processes
        Items that are worked on at once, each by one thread.

    Raises
    ------
    WeightsError
        The bundle's files were changed meanwhile.
    """
    ref = WeightsRef(str(bundle.folder.resolve()), bundle.name, bundle.fingerprint)
    with side_by_side_pool(processes) as pool:
        yield from pool.map(partial(_made, work, ref), items)


def _made(work: Callable[[Networks, Item], Made], ref: WeightsRef, item: Item) -> Made:
    networks, _ = networks_for(ref, "cpu", "of this machine")
    return work(networks, item)
