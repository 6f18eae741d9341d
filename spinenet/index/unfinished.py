"""The inventory of an unfinished index, saved beside the manifest that is being made.

The file's name does not look like a manifest's, and its rows are those before the choice. The next start
continues from it, and removes it once the manifest is written.
"""

from __future__ import annotations

import time

import pyarrow as pa

from spinenet import __version__
from spinenet.cohort.tables import from_parquet, to_parquet
from spinenet.index.catalogue import located
from spinenet.index.formats import PARQUET
from spinenet.index.inventory import Inventory
from spinenet.index.packed import PackedRows

_SCHEMA = pa.schema([("places", pa.binary()), ("rows", pa.binary())])
"""Schema of the file: packed blocks of places and of rows, two tables as a row can lie in many places."""

SECONDS_UNSAVED = 60.0
"""Least seconds between two saves while an index is made."""

_SHARE = 0.05
"""Largest share of the time that is spent on saving."""

_MADE_WITH = "spinenet_unfinished_index"


class Account:
    """The inventory of an index in the making and that of an earlier one, saved from time to time.

    Attributes
    ----------
    inventory
        What this index has surveyed so far.
    earlier
        What an earlier index, finished or not, has surveyed.
    """

    def __init__(self, url: str, made_with: str, earlier: Inventory) -> None:
        self.inventory, self.earlier = Inventory(), earlier
        self._url, self._made_with = url, made_with
        self._due = time.monotonic() + SECONDS_UNSAVED

    def save_if_due(self) -> None:
        """Save the inventory if the last save is long enough ago; errors as :meth:`save`."""
        started = time.monotonic()
        if started >= self._due:
            self.save()
            ended = time.monotonic()
            self._due = ended + max(SECONDS_UNSAVED, (ended - started) / _SHARE)

    def save(self) -> None:
        """Save the inventory, unless it is empty.

        Raises
        ------
        StorageError
            The storage refused.
        """
        if self.inventory.places:
            keep_unfinished(self._url, self.inventory.over(self.earlier), self._made_with)


def unfinished_name(name: str) -> str:
    """Name of the file beside a manifest called ``name``."""
    return name.removesuffix(PARQUET) + ".unfinished-index"


def keep_unfinished(url: str, inventory: Inventory, made_with: str) -> None:
    """Write the inventory of an unfinished index.

    Parameters
    ----------
    url
        The manifest that is being made.
    inventory
        Everything surveyed so far.
    made_with
        As for :func:`spinenet.index.catalogue.write_index`.

    Raises
    ------
    StorageError
        The storage refused.
    """
    store, name = located(url)
    places, rows = PackedRows(inventory.places.values()).blocks(), inventory.rows.blocks()
    longest = max(len(places), len(rows))
    columns = [pa.array(blocks + [None] * (longest - len(blocks)), pa.binary()) for blocks in (places, rows)]
    schema = _SCHEMA.with_metadata({_MADE_WITH: _mark(made_with)})
    store.write(unfinished_name(name), to_parquet(pa.Table.from_arrays(columns, schema=schema)))


def read_unfinished(url: str, made_with: str) -> Inventory:
    """Inventory of an unfinished index; empty if there is none of this version and ``made_with``."""
    store, name = located(url)
    if not store.exists(unfinished_name(name)):
        return Inventory()
    try:
        table = from_parquet(store.read(unfinished_name(name)))
    except pa.ArrowInvalid:
        return Inventory()
    marked = (table.schema.metadata or {}).get(_MADE_WITH.encode())
    if marked != _mark(made_with).encode() or not table.schema.equals(_SCHEMA):
        return Inventory()
    places, rows = (
        PackedRows(blocks=[block for block in table[column].to_pylist() if block is not None])
        for column in ("places", "rows")
    )
    return Inventory(rows, {place["place"]: place for place in places})


def drop_unfinished(url: str) -> None:
    """Remove the file, once the manifest is written."""
    store, name = located(url)
    store.remove([unfinished_name(name)])


def _mark(made_with: str) -> str:
    return f"{__version__} {made_with}"
