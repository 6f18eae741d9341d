"""The files of a finished run's tables, as ``_SUCCESS`` names them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from spinenet.storage import Store


def read_table_files(
    store: Store,
    record: Mapping[str, Any],
    table: str,
    columns: Sequence[str] | None = None,
    filters: Any = None,
) -> pa.Table:
    """A table, or some of it; whatever else lies in its folder is not looked at.

    Parameters
    ----------
    record
        What ``_SUCCESS`` holds.
    columns, filters
        As for :func:`pyarrow.parquet.read_table`.

    Raises
    ------
    FileNotFoundError
        A file is not there: other ones were written in its place.
    """
    files = [f"{store.root}/{table}/{part['file']}" for part in record["tables"][table]]
    wanted = None if columns is None else list(columns)
    # Without partitioning: a folder above may well be called site=3.
    return store.retries.call(
        lambda: pq.read_table(files, filesystem=store.fs, columns=wanted, filters=filters, partitioning=None)
    )
