"""What the index, a check and a run say of the series below a folder, in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec

from spinenet.errors import ScanError
from spinenet.index.catalogue import choose_all
from spinenet.index.packed import PackedRows
from spinenet.index.places import find_places
from spinenet.index.preview import preview
from spinenet.index.rules import GRADING, load_rules
from spinenet.index.schema import NUMBERS, SERIES
from spinenet.index.subjects import folder_subject
from spinenet.index.survey import survey
from spinenet.readers.series import read_scan

LOCAL = fsspec.filesystem("file")


def rows_below(root: Path) -> list[dict[str, Any]]:
    """The rows of an index, before anything is chosen."""
    return [row for place in find_places(LOCAL, str(root)) for row in survey(LOCAL, place).rows]


def said_of(root: Path) -> str:
    """Each series: contrast, slices and distance, or a reason; all three verdicts where they differ."""
    return "; ".join(sorted(map(_of_row, rows_below(root))))


def _of_row(row: dict[str, Any]) -> str:
    named = {"series_uid": row.get("series_uid")}
    verdicts = {
        "index": _volume(row["slices"], row["slice_spacing_mm"]) if row["usable"] else row["reason"],
        "check": _or_reason(lambda: _volume(preview(row["path"], **named).shape[2], None)),
        "run": _or_reason(lambda: _volume(read_scan(row["path"], **named).shape[2], None)),
    }
    alike = len({verdict.partition(",")[0] for verdict in verdicts.values()}) == 1
    told = verdicts["index"] if alike else ", ".join(f"{who} {what}" for who, what in verdicts.items())
    return f"{row.get('sequence')} {told}"


def _volume(slices: int, gap: float | None) -> str:
    return f"{slices} slices" + (f", {gap:.3g} mm" if gap else "")


def _or_reason(what: Callable[[], str]) -> str:
    try:
        return what()
    except ScanError as error:
        return error.reason


def flags_of(root: Path) -> str:
    """The only series' slices and flags, or why there is none."""
    try:
        scan = read_scan(root)
    except ScanError as error:
        return error.reason
    return " ".join([f"{scan.shape[2]} slices", *scan.flags])


def graded_below(root: Path) -> str:
    """How many series of how many subjects are graded, and why others are not usable."""
    rows = PackedRows({"subject_id": None, **row} for row in rows_below(root))
    chosen = list(
        choose_all(rows, load_rules(None, SERIES.names, NUMBERS), lambda p: folder_subject(str(root), p))
    )
    graded = [row for row in chosen if row["purpose"] == GRADING]
    reasons = sorted({row["reason"] for row in chosen if row["reason"]})
    told = f"{len(graded)} graded ({', '.join(sorted({str(row['sequence']) for row in graded}))})"
    return " ".join([told, *reasons])
