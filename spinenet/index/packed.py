"""Many rows in little memory: an index holds a row for each series of its root until all are known."""

from __future__ import annotations

import json
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Any

from spinenet.index.rows import Row

_ROWS_PER_BLOCK = 256
_LEVEL = 1
"""Of the compression: names of columns and folders repeat, which the fastest sees too."""


class PackedRows:
    """Rows in the order in which they were added, as compressed JSON; each time they are gone over, new ones.

    Parameters
    ----------
    rows
        To begin with.
    blocks
        Of other packed rows, which come first.
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
        """Add rows, of what JSON knows and numbers of numpy."""
        for row in rows:
            self._open.append(json.dumps(row, default=_plain))
            if len(self._open) == _ROWS_PER_BLOCK:
                self._close(_block(self._open), len(self._open))
                self._open = []

    def at(self, positions: Iterable[int]) -> Iterator[Row]:
        """Rows by their positions; least work if neighbours come one after another."""
        number, texts = -1, list[str]()
        for position in positions:
            wanted = bisect_right(self._ends, position)
            if wanted != number:
                number = wanted
                texts = _texts(self._blocks[number]) if number < len(self._blocks) else self._open
            yield json.loads(texts[position - (self._ends[number - 1] if number else 0)])

    def copy(self) -> PackedRows:
        """The same rows, to which others can be added."""
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
        """All rows, as bytes that can be kept."""
        return [*self._blocks, *([_block(self._open)] if self._open else [])]


def _block(texts: Iterable[str]) -> bytes:
    return zlib.compress("\n".join(texts).encode(), _LEVEL)


def _texts(block: bytes) -> list[str]:
    return zlib.decompress(block).decode().split("\n")


def _plain(number: Any) -> float | int:
    """A number of numpy as one of Python."""
    plain: float | int = number.item()
    return plain
