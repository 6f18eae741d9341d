"""A finished run's tables in pandas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from spinenet.cohort.finalise import SUCCESS
from spinenet.cohort.tables import TABLES
from spinenet.errors import RunError
from spinenet.storage import Store


@dataclass(frozen=True)
class Results:
    """The tables that a run wrote, each read when first asked for.

    Attributes
    ----------
    store
        The run's output folder.
    """

    store: Store

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
        """
        if name not in TABLES:
            raise KeyError(f"there is no table {name!r}; the tables are {', '.join(TABLES)}")
        folder = f"{self.store.root}/{name}"
        wanted = None if columns is None else list(columns)
        table = self.store.retries.call(
            lambda: pq.read_table(folder, filesystem=self.store.fs, columns=wanted, filters=filters)
        )
        frame: pd.DataFrame = table.to_pandas()
        return frame


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
    """
    store = Store.at(str(out), storage_options)
    if not store.exists(SUCCESS):
        raise RunError(f"there is no finished run in {store.url()}; see: spinenet status {store.url()}")
    return Results(store)
