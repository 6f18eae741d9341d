"""A place becomes rows, one for each series in it, by headers alone."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from spinenet.errors import ScanError
from spinenet.index.heads import read_head
from spinenet.index.members import open_members
from spinenet.index.places import Place, as_url, sidecar_of
from spinenet.readers.dicom import Series, group_series, sequence_of_frame
from spinenet.readers.facts import sequence_of
from spinenet.readers.headers import Frame
from spinenet.readers.limits import GZIP_MAGIC, gunzipped_head
from spinenet.readers.metaimage import is_metaimage, metaimage_grid
from spinenet.readers.nifti import nifti_grid
from spinenet.readers.orientation import plane_of
from spinenet.readers.pixels import needed_bytes
from spinenet.readers.stacks import Stack
from spinenet.readers.volumes import Grid, sequence_named

Row = dict[str, Any]
_VOLUME_HEAD = 1 << 14
_FACTS = ("manufacturer", "model", "field_strength", "body_part", "description")
_SLACK = 256
"""Bytes by which a file without preamble may seem shorter than its pixels need."""


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
    """

    place: Place
    rows: tuple[Row, ...]
    n_files: int
    n_dicom: int
    bytes_read: int


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
        if place.kind == "volume":
            rows, n_files, n_dicom = [_volume(fs, place, read.append)], len(place.files), 0
        else:
            rows, n_files, n_dicom = _dicom(fs, place, subject_of, read.append)
    except (ScanError, OSError) as error:
        rows, n_files, n_dicom = [_unusable(fs, place, _as_reason(error))], 0, 0
    return Survey(place, tuple(rows), n_files, n_dicom, sum(read))


def _as_reason(error: ScanError | OSError) -> ScanError:
    if isinstance(error, ScanError):
        return error
    if isinstance(error, PermissionError):
        return ScanError("permission_denied", "storage refused to let the path be read")
    return ScanError("unreadable", f"storage failed ({type(error).__name__})")


def _dicom(
    fs: Any, place: Place, subject_of: Callable[[bytes], str | None] | None, count: Callable[[int], None]
) -> tuple[list[Row], int, int]:
    frames: list[Frame] = []
    sizes: dict[str, int] = {}
    subjects: dict[str, str | None] = {}
    digests: set[str] = set()
    broken: ScanError | None = None
    n_files = n_dicom = 0
    for name, size, file in open_members(fs, place, count):
        n_files += 1
        try:
            found, head = read_head(name, file)
        except ScanError as error:
            broken, n_dicom = error, n_dicom + 1
            continue
        n_dicom += bool(found)
        # a DICOMDIR, or any other object without image and series
        if not found or not (found[0].series_uid or found[0].pixels.rows is not None):
            continue
        if found[0].digest not in digests:
            digests.add(found[0].digest)
            frames += found
            sizes[name] = size
            if subject_of is not None and found[0].series_uid not in subjects:
                subjects[found[0].series_uid] = subject_of(head)
    rows = [
        _series_row(fs, place, series, sizes, subjects.get(series.uid)) for series in group_series(frames)
    ]
    if not rows and broken is not None:
        rows.append(_unusable(fs, place, broken))
    return rows, n_files, n_dicom


def _series_row(fs: Any, place: Place, series: Series, sizes: Mapping[str, int], subject: str | None) -> Row:
    first = series.frames[0]
    files = sorted({frame.name for frame in series.frames})
    row = _row(fs, files[0] if place.kind == "folder" and len(files) == 1 else place.path)
    row |= {
        "subject_id": subject,
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
    outcome = _shortened(series, sizes) or series.outcome
    if isinstance(outcome, ScanError):
        return row | _field_of_view(row) | {"reason": outcome.reason, "detail": outcome.detail}
    return row | _grid_of(outcome) | {"usable": True}


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
    return grid | _field_of_view(grid)


def _field_of_view(row: Row) -> Row:
    sides = {"height": "row", "width": "column"}
    return {
        f"field_of_view_{side}_mm": row[f"{axis}s"] * row[f"{axis}_spacing_mm"]
        for side, axis in sides.items()
        if row.get(f"{axis}s") and row.get(f"{axis}_spacing_mm")
    }


def _shortened(series: Series, sizes: Mapping[str, int]) -> ScanError | None:
    """The error of a file that is shorter than the pixels that its header claims."""
    for frame in series.frames:
        needed = needed_bytes(frame.pixels)
        start = frame.pixels.start
        if needed is not None and start is not None and sizes[frame.name] - start + _SLACK < needed:
            return ScanError("bad_pixels", f"a file of {sizes[frame.name]} bytes claims {needed} of pixels")
    return None


def _plane(frames: tuple[Frame, ...]) -> str | None:
    planes = {plane_of(frame.orientation) for frame in frames if frame.orientation}
    return planes.pop() if len(planes) == 1 else "several" if planes else None


def _volume(fs: Any, place: Place, count: Callable[[int], None]) -> Row:
    row = _row(fs, place.path) | {
        "sequence": sequence_named(place.path),
        "n_files": 1,
        "bytes": place.files[place.path],
    }
    try:
        grid = volume_grid(fs, place, count)
    except ScanError as error:
        return row | {"reason": error.reason, "detail": error.detail}
    rows, columns, slices = grid.shape
    row |= {
        "usable": True,
        "plane": "sagittal",
        "rows": rows,
        "columns": columns,
        "slices": slices,
        "row_spacing_mm": grid.pixel_spacing[0],
        "column_spacing_mm": grid.pixel_spacing[1],
        "slice_spacing_mm": grid.slice_spacing,
    }
    return row | _field_of_view(row) | _sidecar(fs, place, row["sequence"], count)


def volume_grid(fs: Any, place: Place, count: Callable[[int], None] = lambda read: None) -> Grid:
    """The grid of a NIfTI or MetaImage file, from its first bytes; raises ScanError as their readers do."""
    with fs.open(place.path, "rb", block_size=_VOLUME_HEAD) as file:
        head = file.read(_VOLUME_HEAD)
    count(len(head))
    if is_metaimage(place.path):
        return metaimage_grid(head)
    if head.startswith(GZIP_MAGIC):
        return nifti_grid(gunzipped_head(head, _VOLUME_HEAD))
    return nifti_grid(head, place.files[place.path])


def _sidecar(fs: Any, place: Place, named: str, count: Callable[[int], None]) -> Row:
    """What the JSON file that BIDS puts beside an image says of the contrast; its times are in seconds."""
    name = sidecar_of(place.path)
    if name not in place.files:
        return {}
    data = fs.cat_file(name)
    count(len(data))
    try:
        said = json.loads(data)
        echo, repetition, inversion = (
            1000.0 * float(said[key]) if key in said else None
            for key in ("EchoTime", "RepetitionTime", "InversionTime")
        )
    except (ValueError, TypeError):
        return {}
    words = posixpath.basename(place.path).replace("_", " ")
    contrast = sequence_of(echo, repetition, inversion, description=words)
    return {"sequence": contrast if contrast != "other" else named}


def _unusable(fs: Any, place: Place, error: ScanError) -> Row:
    return _row(fs, place.path) | {"reason": error.reason, "detail": error.detail}


def _row(fs: Any, path: str) -> Row:
    return {"path": as_url(fs, path), "usable": False, "reason": None, "detail": None}
