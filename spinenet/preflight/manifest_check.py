"""What of a manifest would run, what would not and why, told from headers; nothing is written."""

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
"""Groups whose rows would not fail."""

_ROWS_AT_ONCE = 32
_FEW = 2 * _ROWS_AT_ONCE
"""So few rows are looked at here; more are worth starting processes."""


@dataclass(frozen=True)
class Row:
    """One manifest row: a group of :class:`Preflight`, and what its headers show or why they do not."""

    scan_id: str
    what: str
    detail: str | None = None
    scan: Preview | None = None


@dataclass(frozen=True)
class Preflight:
    """The account of a manifest.

    Attributes
    ----------
    rows
        In the manifest's order, each in one group: :data:`WOULD_RUN`, :data:`DUPLICATE` (it would run too),
        :data:`EXCLUDED`, or a code of :data:`spinenet.anatomy.REASONS`.
    """

    manifest: Manifest
    rows: tuple[Row, ...]

    @property
    def groups(self) -> dict[str, list[Row]]:
        """Rows by group: what would run first, then reasons, the commonest first."""
        found: dict[str, list[Row]] = {what: [] for what in NO_PROBLEM}
        for row in self.rows:
            found.setdefault(row.what, []).append(row)
        head = {what: found.pop(what) for what in NO_PROBLEM}
        return head | dict(sorted(found.items(), key=lambda group: (-len(group[1]), group[0])))

    @property
    def n_problems(self) -> int:
        """Rows that would fail."""
        return sum(row.what not in NO_PROBLEM for row in self.rows)

    @property
    def scans(self) -> list[Preview]:
        """What would be read."""
        return [row.scan for row in self.rows if row.scan is not None]


def check_manifest(
    url: str,
    storage_options: Mapping[str, Any] | None = None,
    *,
    processes: int = 1,
    types: ColumnTypes = AS_INFERRED,
) -> Preflight:
    """Look at the headers of every row's files.

    Parameters
    ----------
    url, storage_options, types
        As for :func:`spinenet.cohort.manifests.manifest.read_manifest`, which says what it raises.
    processes
        That look side by side, where there are more than a few rows.
    """
    manifest = read_manifest(url, storage_options, types)
    every = list(entries(manifest.table))
    inputs = Counter(_input(row) for row in every if not row.excluded)
    looked = list(_look_at_all(every, storage_options, processes))
    series: defaultdict[str, int] = defaultdict(int)
    for row in looked:
        if row.scan is not None:
            series[row.scan.mark] += 1
    return Preflight(
        manifest,
        tuple(
            _marked(row, inputs[_input(entry)] > 1, series) for entry, row in zip(every, looked, strict=True)
        ),
    )


def _input(row: Entry) -> tuple[str, str | None, frozenset[tuple[str, str]]]:
    return row.path, row.series_uid, frozenset(row.overrides.items())


def _marked(row: Row, named_twice: bool, series: Mapping[str, int]) -> Row:
    twice = row.scan is not None and (named_twice or series[row.scan.mark] > 1)
    return Row(row.scan_id, DUPLICATE, scan=row.scan) if twice else row


def _look_at_all(
    every: Sequence[Entry], storage_options: Mapping[str, Any] | None, processes: int
) -> Iterator[Row]:
    if processes == 1 or len(every) <= _FEW:
        yield from (_look_at(row, storage_options) for row in every)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for rows in pool.map(_look_at_some, _chunks(every), [storage_options] * len(every)):
            yield from rows


def _chunks(every: Sequence[Entry]) -> Iterator[list[Entry]]:
    rest = iter(every)
    while chunk := list(islice(rest, _ROWS_AT_ONCE)):
        yield chunk


def _look_at_some(some: Iterable[Entry], storage_options: Mapping[str, Any] | None) -> list[Row]:
    return [_look_at(row, storage_options) for row in some]


def _look_at(row: Entry, storage_options: Mapping[str, Any] | None) -> Row:
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
    """Patches that the detector would read of a scan.

    Raises
    ------
    ScanError
        too_small.
    """
    height, width = square_shape(scan.shape[:2], scan.pixel_spacing)
    return scan.shape[2] * len(set(tile(height, width, min(scan.pixel_spacing))[0]))
