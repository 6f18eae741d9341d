"""A finished run's tables in pandas."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import pandas as pd
import pyarrow as pa

from spinenet.cohort.layout import SUCCESS
from spinenet.cohort.plan import planned
from spinenet.cohort.table_files import read_table_files
from spinenet.cohort.tables import TABLES
from spinenet.errors import RunError
from spinenet.storage import Store

SWITCH_S = 5.0
"""How long tables that are being replaced are waited for."""
_LOOK_S = 0.05

_NULLABLE: Mapping[pa.DataType, Any] = MappingProxyType(
    {
        pa.int8(): pd.Int8Dtype(),
        pa.int16(): pd.Int64Dtype(),
        pa.int32(): pd.Int64Dtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.uint8(): pd.Int64Dtype(),
        pa.uint16(): pd.Int64Dtype(),
        pa.uint32(): pd.Int64Dtype(),
        pa.uint64(): pd.UInt64Dtype(),
        pa.bool_(): pd.BooleanDtype(),
    }
)
"""Types that hold a missing value without becoming floats; the findings stay at one byte."""


@dataclass(frozen=True, repr=False)
class Results:
    """The tables that a run wrote, each read when first asked for, and all of one generation.

    Whole numbers and truth values have pandas' nullable types, so that they stay what they are beside rows
    without them, such as failed scans.

    Attributes
    ----------
    store
        The run's output folder.
    """

    store: Store
    _generation: list[bytes] = field(default_factory=list, repr=False, compare=False)
    """``_SUCCESS`` as it was when the first table was read."""

    def __repr__(self) -> str:
        return f"Results({self.store.url()!r})"

    @cached_property
    def scans(self) -> pd.DataFrame:
        """One row per manifest row."""
        return self.table("scans")

    @cached_property
    def vertebrae(self) -> pd.DataFrame:
        """One row per vertebra."""
        return self.table("vertebrae")

    @cached_property
    def grades(self) -> pd.DataFrame:
        """One row per disc."""
        return self.table("grades")

    @cached_property
    def not_validated(self) -> tuple[str, ...] | None:
        """Findings of ``grades`` not validated on real scans with the run's weights; None if not known."""
        return planned(self.store).not_validated

    def table(self, name: str, columns: Sequence[str] | None = None, filters: Any = None) -> pd.DataFrame:
        """A table, or some of it.

        Parameters
        ----------
        name
            "scans", "vertebrae" or "grades".
        columns
            Names of the columns to read; all without it.
        filters
            Rows to read, as :func:`pyarrow.parquet.read_table` takes them, such as
            ``[("level", "==", "L4-L5")]``.

        Raises
        ------
        KeyError
            There is no table of that name.
        RunError
            The tables were written anew since the first one was read, or are not there any more.

        Examples
        --------
        >>> results = spinenet.read_results("OUT")
        >>> results.table("grades", ["scan_id", "pfirrmann"], filters=[("level", "==", "L4-L5")]).shape
        (2, 2)
        """
        if name not in TABLES:
            raise KeyError(f"there is no table {name!r}; the tables are {', '.join(TABLES)}")
        table = self._read(name, columns, filters)
        frame: pd.DataFrame = table.to_pandas(types_mapper=_NULLABLE.get)
        return frame

    def _read(self, name: str, columns: Sequence[str] | None, filters: Any) -> pa.Table:
        """Rows of the generation that tables were read of before, else of the present one."""
        deadline = time.monotonic() + SWITCH_S
        while True:
            record = success_bytes(self.store)
            if self._generation and record != self._generation[0]:
                raise RunError(
                    f"the tables in {self.store.url()} were written anew since they were opened; "
                    "call read_results again"
                )
            try:
                table = read_table_files(self.store, json.loads(record), name, columns, filters)
            except FileNotFoundError:
                # Replaced since the record was read, or lost; the record tells.
                if time.monotonic() > deadline:
                    raise
                time.sleep(_LOOK_S)
                continue
            if success_bytes(self.store) == record:
                self._generation[:] = [record]
                return table


def success_bytes(store: Store) -> bytes:
    """What ``_SUCCESS`` holds; waits where tables are there without it, as while they are being replaced.

    Raises
    ------
    RunError
        There is no finished run.
    """
    deadline = time.monotonic() + SWITCH_S
    while True:
        try:
            return store.read(SUCCESS)
        except FileNotFoundError:
            if time.monotonic() > deadline or not any(store.sizes(table) for table in TABLES):
                raise RunError(
                    f"there is no finished run in {store.url()}; see: spinenet status {store.url()}"
                ) from None
            time.sleep(_LOOK_S)


def read_results(out: str, storage_options: Mapping[str, Any] | None = None) -> Results:
    """Open the results of a run.

    Parameters
    ----------
    out
        The output folder of ``spinenet run``, a path or any fsspec URL.
    storage_options
        Passed to fsspec.

    Raises
    ------
    RunError
        There is no finished run.

    Examples
    --------
    >>> results = spinenet.read_results("OUT")
    >>> results.scans[["scan_id", "status"]].to_dict("list")
    {'scan_id': ['s0', 's1'], 'status': ['done', 'done']}
    >>> results.grades["level"].unique().tolist()
    ['T12-L1', 'L1-L2', 'L2-L3', 'L3-L4', 'L4-L5', 'L5-S1']
    """
    store = Store.at(str(out), storage_options)
    success_bytes(store)
    return Results(store)
