"""Packed rows are the rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinenet.index.packed import PackedRows

SINGLE = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
ROWS = st.lists(st.dictionaries(st.text(), SINGLE | st.lists(st.text()), max_size=4), max_size=20)


@given(ROWS, st.integers(1, 7), st.data())
def test_rows_are_what_was_added(rows: list[dict[str, Any]], per_block: int, data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spinenet.index.packed._ROWS_PER_BLOCK", per_block)
        cut = data.draw(st.integers(0, len(rows)))
        packed = PackedRows(rows[:cut])
        packed.extend(rows[cut:])
        again = PackedRows(blocks=PackedRows(rows[:cut]).blocks())
        again.extend(rows[cut:])
    for each in (packed, again):
        assert list(each) == rows
        assert len(each) == len(rows)
        positions = data.draw(st.lists(st.sampled_from(range(len(rows))))) if rows else []
        assert list(each.at(positions)) == [rows[position] for position in positions]


def test_numbers_of_numpy_are_numbers() -> None:
    assert list(PackedRows([{"a": np.float64(0.7), "b": np.int32(3)}])) == [{"a": 0.7, "b": 3}]


def test_thousands_of_rows_take_little_memory() -> None:
    rows = [{"path": f"/root/subject-{i:06d}/series", "rows": 448, "spacing": 0.7} for i in range(5000)]
    assert sum(map(len, PackedRows(rows).blocks())) < 30 * len(rows)
