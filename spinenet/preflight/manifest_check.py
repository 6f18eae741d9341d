"""Checks by headers alone which rows of a manifest would run, and why others would not; writes nothing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from typing import Any

from spinenet.cohort.manifests.column_types import AS_INFERRED, ColumnTypes
from spinenet.cohort.manifests.manifest import Entry, Manifest, entries, read_manifest
from spinenet.errors import ScanError
from spinenet.geometry import square_shape
from spinenet.index.preview import Preview, preview
from spinenet.stages.windows import tile

WOULD_RUN, EXCLUDED, DUPLICATE = "would run", "excluded", "same input as another row"
NO_PROBLEM = (WOULD_RUN, DUPLICATE, EXCLUDED)
"""Groups of rows that would not fail."""

_ROWS_AT_ONCE = 32
"""Rows checked in one task of a process."""
_FEW = 2 * _ROWS_AT_ONCE
"""Most rows that are checked in this process: starting others is not worth while for so few."""


@dataclass(frozen=True)
class Row:
    """One manifest row with its group (``what``), and its scan's preview or the reason why it has none."""

    scan_id: str
    what: str
    detail: str | None = None
    scan: Preview | None = None


@dataclass(frozen=True)
class Preflight:
    """Result of the check of a manifest.

    Attributes
    ----------
    manifest
        The manifest.
    rows
        Rows in the manifest's order, each in one group: :data:`WOULD_RUN`, :data:`DUPLICATE` (would run too),
        :data:`EXCLUDED`, or a code of :data:`spinenet.anatomy.REASONS`.
    """

    manifest: Manifest
    rows: tuple[Row, ...]

    @property
    def groups(self) -> dict[str, list[Row]]:
        """Rows by group: those that would run first, then reasons by descending frequency."""
        by_group: dict[str, list[Row]] = {what: [] for what in NO_PROBLEM}
        for row in self.rows:
            by_group.setdefault(row.what, []).append(row)
        head = {what: by_group.pop(what) for what in NO_PROBLEM}
        return head | dict(sorted(by_group.items(), key=lambda group: (-len(group[1]), group[0])))

    @property
    def n_problems(self) -> int:
        """Number of rows that would fail."""
        return sum(row.what not in NO_PROBLEM for row in self.rows)

    @property
    def scans(self) -> list[Preview]:
        """Previews of the scans that would be read."""
        return [row.scan for row in self.rows if row.scan is not None]


def check_manifest(
    url: str,
    storage_options: Mapping[str, Any] | None = None,
    *,
    processes: int = 1,
    types: ColumnTypes = AS_INFERRED,
) -> Preflight:
    """Read the headers of every row's files.

    Parameters
    ----------
    url, storage_options, types
        As for :func:`spinenet.cohort.manifests.manifest.read_manifest`, whose errors are raised too.
    processes
        Number of processes for more than a few rows.
    """
    manifest = read_manifest(url, storage_options, types)
    listed = list(entries(manifest.table))
    inputs = Counter(_input(row) for row in listed if not row.excluded)
    rows = list(_check_all(listed, storage_options, processes))
    series: defaultdict[str, int] = defaultdict(int)
    for row in rows:
        if row.scan is not None:
            series[row.scan.mark] += 1
    return Preflight(
        manifest,
        tuple(
            _marked(row, inputs[_input(entry)] > 1, series) for entry, row in zip(listed, rows, strict=True)
        ),
    )


def _input(row: Entry) -> tuple[str, str | None, frozenset[tuple[str, str]]]:
    return row.path, row.series_uid, frozenset(row.overrides.items())


def _marked(row: Row, named_twice: bool, series: Mapping[str, int]) -> Row:
    twice = row.scan is not None and (named_twice or series[row.scan.mark] > 1)
    return Row(row.scan_id, DUPLICATE, scan=row.scan) if twice else row


def _check_all(
    all_entries: Sequence[Entry], storage_options: Mapping[str, Any] | None, processes: int
) -> Iterator[Row]:
    if processes == 1 or len(all_entries) <= _FEW:
        yield from (_check_row(row, storage_options) for row in all_entries)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for rows in pool.map(_check_batch, _chunks(all_entries), [storage_options] * len(all_entries)):
            yield from rows


def _chunks(all_entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    rest = iter(all_entries)
    while chunk := list(islice(rest, _ROWS_AT_ONCE)):
        yield chunk


def _check_batch(batch: Iterable[Entry], storage_options: Mapping[str, Any] | None) -> list[Row]:
    return [_check_row(row, storage_options) for row in batch]


def _check_row(row: Entry, storage_options: Mapping[str, Any] | None) -> Row:
    if row.excluded:
        return Row(row.scan_id, EXCLUDED, row.note)
    try:
        scan = preview(
            row.path, series_uid=row.series_uid, overrides=row.overrides, storage_options=storage_options
        )
        n_patches(scan)
    except ScanError as error:
        return Row(row.scan_id, error.reason, error.detail)
    return Row(row.scan_id, WOULD_RUN, scan=scan)


def n_patches(scan: Preview) -> int:
    """Number of patches of a scan that the detector would read.

    Raises
    ------
    ScanError
        too_small.
    """
    height, width = square_shape(scan.shape[:2], scan.pixel_spacing)
    return scan.shape[2] * len(set(tile(height, width, min(scan.pixel_spacing))[0]))
