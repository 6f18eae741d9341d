"""A place becomes rows, one for each series in it, by headers alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spinenet.errors import ScanError
from spinenet.index.heads import read_head
from spinenet.index.members import open_members
from spinenet.index.places import FAILED, REFUSED, UNNAMEABLE, Place, is_text
from spinenet.index.rows import Row, bare_row, because, field_of_view
from spinenet.index.subjects import keyed_subject
from spinenet.index.volumes import volume_row
from spinenet.readers.dicom import Series, group_series, sequence_of_frame
from spinenet.readers.headers import Frame
from spinenet.readers.limits import check_total
from spinenet.readers.orientation import plane_of
from spinenet.readers.pixels import needed_bytes
from spinenet.readers.stacks import Stack

_FACTS = ("manufacturer", "model", "field_strength", "body_part", "description")
_NOT_LOOKED_INTO = {
    UNNAMEABLE: ScanError("unreadable", "the path is no UTF-8 text, so no manifest can name it; rename it"),
    REFUSED: ScanError("permission_denied", "storage refused to let the folder be listed"),
    FAILED: ScanError("unreadable", "storage failed to list the folder"),
}


@dataclass(frozen=True)
class Survey:
    """What a place holds.

    Attributes
    ----------
    rows
        One for each series; see :data:`spinenet.index.catalogue.SERIES`.
    n_files
        Files that were opened.
    n_dicom
        Those of them that are DICOM.
    bytes_read
        From storage.
    settled
        Whether the place says this as long as it does not change; a storage that refused or failed may say
        something else next time.
    """

    place: Place
    rows: tuple[Row, ...]
    n_files: int
    n_dicom: int
    bytes_read: int
    settled: bool = True


def survey(fs: Any, place: Place, subject_of: Callable[[bytes], str | None] | None = None) -> Survey:
    """Read the headers of a place's files. Never raises for a file's own fault.

    Parameters
    ----------
    fs
        The fsspec filesystem of the place.
    subject_of
        Makes a subject's id of the first bytes of a DICOM file; None leaves ids to the folders.
    """
    read: list[int] = []
    try:
        if place.kind in _NOT_LOOKED_INTO:
            raise _NOT_LOOKED_INTO[place.kind]
        if place.kind == "volume":
            rows, n_files, n_dicom = [volume_row(fs, place, read.append)], len(place.files), 0
        else:
            rows, n_files, n_dicom = _dicom(fs, place, subject_of, read.append)
    except Exception as error:
        reason, settled = _as_reason(place, error)
        return Survey(place, (_unusable(fs, place, reason),), 0, 0, sum(read), settled)
    return Survey(place, tuple(rows), n_files, n_dicom, sum(read))


def survey_all(fs: Any, places: Sequence[Place], key: bytes) -> list[Survey]:
    """Survey places in turn; here, since a worker then need not import what a flow is made of.

    Parameters
    ----------
    key
        Of the hash that names subjects; empty leaves ids to the folders.
    """
    subject_of = keyed_subject(key) if key else None
    return [survey(fs, place, subject_of) for place in places]


def _as_reason(place: Place, error: Exception) -> tuple[ScanError, bool]:
    """(why a place is not usable, whether that is the place's own fault)."""
    if isinstance(error, ScanError):
        return error, place.kind not in (REFUSED, FAILED)
    if isinstance(error, PermissionError):
        return ScanError("permission_denied", "storage refused to let the path be read"), False
    kind = type(error).__name__
    if isinstance(error, OSError) and (place.kind != "archive" or error.errno is not None):
        return ScanError("unreadable", f"storage failed ({kind})"), False
    if place.kind == "archive":
        return ScanError("unreadable", f"the archive is broken ({kind})"), True
    return ScanError("internal_error", f"the headers could not be read ({kind})"), False


def _dicom(
    fs: Any, place: Place, subject_of: Callable[[bytes], str | None] | None, count: Callable[[int], None]
) -> tuple[list[Row], int, int]:
    frames: list[Frame] = []
    sizes: dict[str, int] = {}
    held: dict[str, int | None] = {}
    subjects: dict[str, str | None] = {}
    digests: set[str] = set()
    broken: ScanError | None = None
    n_files = n_dicom = 0
    for name, size, file in open_members(fs, place, count):
        n_files += 1
        try:
            head = read_head(name, file)
        except ScanError as error:
            broken, n_dicom = error, n_dicom + 1
            continue
        n_dicom += bool(head.frames)
        if not head.frames or head.frames[0].digest in digests:
            continue
        first = head.frames[0]
        if not first.series_uid and first.pixels.rows is None:
            # the directory of a disc, or what is left of a file
            if first.image:
                broken = ScanError("unreadable", "a DICOM header names no series and no image")
            continue
        digests.add(first.digest)
        frames += head.frames
        sizes[name], held[name] = size, head.held(size)
        if subject_of is not None and not subjects.get(first.series_uid):
            subjects[first.series_uid] = subject_of(head.data)
    rows = [
        _series_row(fs, place, series, sizes, held) | {"subject_id": subjects.get(series.uid)}
        for series in group_series(frames)
    ]
    if not rows and broken is not None:
        rows.append(_unusable(fs, place, broken))
    return rows, n_files, n_dicom


def _series_row(
    fs: Any, place: Place, series: Series, sizes: Mapping[str, int], held: Mapping[str, int | None]
) -> Row:
    first = series.frames[0]
    files = sorted({frame.name for frame in series.frames})
    alone = place.kind == "folder" and len(files) == 1 and is_text(files[0])
    row = bare_row(fs, files[0] if alone else place.path)
    row |= {
        "series_uid": series.uid or None,
        "plane": _plane(series.frames),
        "sequence": sequence_of_frame(first),
        "rows": first.pixels.rows,
        "columns": first.pixels.columns,
        "slices": len(series.frames),
        "transfer_syntax": first.pixels.transfer_syntax,
        "n_files": len(files),
        "bytes": sum(sizes[name] for name in files),
        **{name: first.facts.get(name) for name in _FACTS},
    }
    if first.spacing:
        row |= {"row_spacing_mm": first.spacing[0], "column_spacing_mm": first.spacing[1]}
    outcome = series.outcome if isinstance(series.outcome, ScanError) else _shortened(series, held)
    if outcome is None and place.kind == "folder" and not alone:
        outcome = _excess(place)
    if outcome is not None:
        return row | field_of_view(row) | because(outcome)
    assert isinstance(series.outcome, Stack)
    return row | _grid_of(series.outcome) | {"usable": True}


def _excess(place: Place) -> ScanError | None:
    """The error of a folder that holds more than can be read, whatever the series has of it."""
    try:
        check_total(len(place.files), sum(place.files.values()))
    except ScanError as error:
        return error
    return None


def _grid_of(stack: Stack) -> Row:
    """Rows, columns and slices as a scan of the stack has them, whatever was stored."""
    pixels = stack.frames[0].pixels
    stored = (pixels.rows or 0, pixels.columns or 0, len(stack.frames))
    steps = np.linalg.norm(stack.affine[:3, :3], axis=0)
    rows, columns, slices = (stored[axis] for axis in stack.axes.order)
    grid = {
        "rows": rows,
        "columns": columns,
        "slices": slices,
        "row_spacing_mm": float(steps[stack.axes.order[0]]),
        "column_spacing_mm": float(steps[stack.axes.order[1]]),
        "slice_spacing_mm": stack.slice_spacing,
    }
    return grid | field_of_view(grid)


def _shortened(series: Series, held: Mapping[str, int | None]) -> ScanError | None:
    """The error of a file that is shorter than the pixels that its header claims."""
    for frame in series.frames:
        needed, there = needed_bytes(frame.pixels), held[frame.name]
        if needed is not None and there is not None and there < needed:
            return ScanError("bad_pixels", f"a file holds {there} of the {needed} bytes of its pixels")
    return None


def _plane(frames: tuple[Frame, ...]) -> str | None:
    planes = {plane_of(frame.orientation) for frame in frames if frame.orientation}
    return planes.pop() if len(planes) == 1 else "several" if planes else None


def _unusable(fs: Any, place: Place, error: ScanError) -> Row:
    return bare_row(fs, place.path) | because(error)
