"""Rows kept compressed in memory: an index holds every series of its root until the choice is made.

As compressed JSON, 48 bytes a series: record batches of Arrow take 60 to 128, however they are packed, and a
Parquet file for each 2000 takes 29, but 29 ms for a row out of turn, where a block of JSON takes 1.
"""

from __future__ import annotations

import json
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Any

from spinenet.index.rows import Row

_ROWS_PER_BLOCK = 256
_LEVEL = 1
"""zlib's fastest level: most of the gain comes from repeated names of columns and folders."""


class PackedRows:
    """Rows as compressed JSON, in the order of addition; each iteration yields new dictionaries.

    Parameters
    ----------
    rows
        First rows to add, after those of ``blocks``.
    blocks
        Result of :meth:`blocks` of other packed rows.
    """

    def __init__(self, rows: Iterable[Row] = (), blocks: Iterable[bytes] = ()) -> None:
        self._blocks: list[bytes] = []
        self._ends: list[int] = []
        self._open: list[str] = []
        for block in blocks:
            self._close(block, len(_texts(block)))
        self.extend(rows)

    def __len__(self) -> int:
        return self._closed + len(self._open)

    def __iter__(self) -> Iterator[Row]:
        for block in self._blocks:
            yield from map(json.loads, _texts(block))
        yield from map(json.loads, list(self._open))

    def extend(self, rows: Iterable[Row]) -> None:
        """Add rows whose values are JSON types or NumPy scalars."""
        for row in rows:
            self._open.append(json.dumps(row, default=_plain))
            if len(self._open) == _ROWS_PER_BLOCK:
                self._close(_block(self._open), len(self._open))
                self._open = []

    def at(self, positions: Iterable[int]) -> Iterator[Row]:
        """Rows by their positions; fastest for positions in order, as a block is unpacked when it changes."""
        number, texts = -1, list[str]()
        for position in positions:
            block = bisect_right(self._ends, position)
            if block != number:
                number = block
                texts = _texts(self._blocks[number]) if number < len(self._blocks) else self._open
            yield json.loads(texts[position - (self._ends[number - 1] if number else 0)])

    def copy(self) -> PackedRows:
        """An independent copy, to which rows can be added."""
        same = PackedRows()
        same._blocks, same._ends, same._open = list(self._blocks), list(self._ends), list(self._open)
        return same

    @property
    def _closed(self) -> int:
        return self._ends[-1] if self._ends else 0

    def _close(self, block: bytes, n_rows: int) -> None:
        self._blocks.append(block)
        self._ends.append(self._closed + n_rows)

    def blocks(self) -> list[bytes]:
        """All rows as compressed blocks, to be stored."""
        return [*self._blocks, *([_block(self._open)] if self._open else [])]


def _block(texts: Iterable[str]) -> bytes:
    return zlib.compress("\n".join(texts).encode(), _LEVEL)


def _texts(block: bytes) -> list[str]:
    return zlib.decompress(block).decode().split("\n")


def _plain(number: Any) -> float | int:
    """A NumPy scalar as a Python number."""
    plain: float | int = number.item()
    return plain
