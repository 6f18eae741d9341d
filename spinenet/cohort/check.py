"""What of a manifest would run and what would not, told without reading a pixel or writing a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import fsspec

from spinenet.cohort.manifest import Entry, entries, read_manifest

WOULD_RUN, EXCLUDED, MISSING, DUPLICATE = "would run", "excluded", "path missing", "same input as another row"


@dataclass(frozen=True)
class Preflight:
    """The account of a manifest; ``groups`` holds scan_ids by what was found, and sums to ``n_rows``."""

    n_rows: int
    groups: Mapping[str, Sequence[str]]

    @property
    def n_problems(self) -> int:
        """Rows that would fail."""
        return len(self.groups[MISSING])


def check_manifest(url: str, storage_options: Mapping[str, Any] | None = None) -> Preflight:
    """Look at a manifest and at whether its paths exist.

    Parameters
    ----------
    url, storage_options
        As for :func:`spinenet.cohort.manifest.read_manifest`, which says what it raises.
    """
    rows = list(entries(read_manifest(url, storage_options).table))
    inputs = Counter((row.path, row.series_uid) for row in rows if not row.excluded)
    groups: dict[str, list[str]] = {what: [] for what in (WOULD_RUN, DUPLICATE, MISSING, EXCLUDED)}
    for row in rows:
        groups[_what(row, inputs, storage_options)].append(row.scan_id)
    return Preflight(len(rows), groups)


def _what(
    row: Entry, inputs: Counter[tuple[str, str | None]], storage_options: Mapping[str, Any] | None
) -> str:
    if row.excluded:
        return EXCLUDED
    fs, path = fsspec.core.url_to_fs(row.path, **dict(storage_options or {}))
    if not (fs.glob(path) if set("*?[") & set(path) else fs.exists(path)):
        return MISSING
    return DUPLICATE if inputs[row.path, row.series_uid] > 1 else WOULD_RUN
