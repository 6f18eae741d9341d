"""What an index that was interrupted had found out, kept beside the manifest that it was to become.

The file is named so that nobody takes it for a manifest, and holds rows before anything was chosen. The next
start goes on from it, and removes it when the manifest is written.
"""

from __future__ import annotations

import time

import pyarrow as pa

from spinenet import __version__
from spinenet.cohort.tables import from_parquet, to_parquet
from spinenet.index.catalogue import located
from spinenet.index.findings import Findings
from spinenet.index.formats import PARQUET
from spinenet.index.packed import PackedRows

_FOUND = pa.schema([("places", pa.binary()), ("rows", pa.binary())])
"""Blocks of packed places and of packed rows: a row may lie in many places, and a place hold many rows."""

SECONDS_UNSAVED = 60.0
"""What is found is written down so often while an index is made."""

_SHARE = 0.05
"""Of the time, at most, goes into writing it down."""

_MADE_WITH = "spinenet_unfinished_index"


class Account:
    """What an index finds, over what an earlier one found, written down now and then.

    Attributes
    ----------
    found
        Now.
    earlier
        Before.
    """

    def __init__(self, url: str, made_with: str, earlier: Findings) -> None:
        self.found, self.earlier = Findings(), earlier
        self._url, self._made_with = url, made_with
        self._due = time.monotonic() + SECONDS_UNSAVED

    def save_if_due(self) -> None:
        """Write down what is found, if that was not done for a while; errors as :meth:`save`."""
        started = time.monotonic()
        if started >= self._due:
            self.save()
            ended = time.monotonic()
            self._due = ended + max(SECONDS_UNSAVED, (ended - started) / _SHARE)

    def save(self) -> None:
        """Write down what is found, if anything is.

        Raises
        ------
        StorageError
            The storage refused.
        """
        if self.found.places:
            keep_unfinished(self._url, self.found.over(self.earlier), self._made_with)


def unfinished_name(name: str) -> str:
    """Name of the file beside a manifest of this name."""
    return name.removesuffix(PARQUET) + ".unfinished-index"


def keep_unfinished(url: str, found: Findings, made_with: str) -> None:
    """Write what is known so far.

    Parameters
    ----------
    url
        The manifest that is being made.
    made_with
        As for :func:`spinenet.index.catalogue.write_index`.

    Raises
    ------
    StorageError
        The storage refused.
    """
    store, name = located(url)
    places, rows = PackedRows(found.places.values()).blocks(), found.rows.blocks()
    longest = max(len(places), len(rows))
    columns = [pa.array(blocks + [None] * (longest - len(blocks)), pa.binary()) for blocks in (places, rows)]
    marked = _FOUND.with_metadata({_MADE_WITH: _mark(made_with)})
    store.write(unfinished_name(name), to_parquet(pa.Table.from_arrays(columns, schema=marked)))


def read_unfinished(url: str, made_with: str) -> Findings:
    """What an interrupted index of the same version had found, if it was made the same way; or nothing."""
    store, name = located(url)
    if not store.exists(unfinished_name(name)):
        return Findings()
    try:
        table = from_parquet(store.read(unfinished_name(name)))
    except pa.ArrowInvalid:
        return Findings()
    marked = (table.schema.metadata or {}).get(_MADE_WITH.encode())
    if marked != _mark(made_with).encode() or not table.schema.equals(_FOUND):
        return Findings()
    places, rows = (
        PackedRows(blocks=[block for block in table[column].to_pylist() if block is not None])
        for column in ("places", "rows")
    )
    return Findings(rows, {place["place"]: place for place in places})


def drop_unfinished(url: str) -> None:
    """Remove the file, now that there is a manifest."""
    store, name = located(url)
    store.remove([unfinished_name(name)])


def _mark(made_with: str) -> str:
    return f"{__version__} {made_with}"
