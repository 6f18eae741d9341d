"""Surveys a place: its headers become rows, one for each series."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spinenet.errors import ScanError
from spinenet.index.contents import by_content
from spinenet.index.gather import Gathered, gather
from spinenet.index.links import LOST
from spinenet.index.places import (
    ARCHIVE,
    DEEP,
    EMPTY,
    FAILED,
    FOLDER,
    LINKED,
    REFUSED,
    UNNAMEABLE,
    VOLUME,
    VOXELS,
    Place,
    is_text,
)
from spinenet.index.rows import Row, bare_row, field_of_view, grid_row, path_of, reason_row
from spinenet.index.subjects import keyed_subject
from spinenet.index.volumes import FACTS, fetched, image_row, volume_row
from spinenet.readers.dicom.frames import Frame
from spinenet.readers.dicom.grouping import Series, sequence_of_frame
from spinenet.readers.dicom.stacks import Stack
from spinenet.readers.sources.archives import members
from spinenet.readers.sources.formats import unsupported
from spinenet.readers.sources.limits import check_total
from spinenet.readers.space.orientation import plane_of
from spinenet.storage.causes import scan_error

_NOT_OPENED = {
    UNNAMEABLE: ScanError("unreadable", "the path is no UTF-8 text, so no manifest can name it; rename it"),
    REFUSED: ScanError("permission_denied", "storage refused to let the folder be listed"),
    FAILED: ScanError("storage_failed", "storage failed to list the folder"),
    LOST: ScanError("path_missing", "the link leads to nothing (if it is of git-annex: datalad get)"),
    LINKED: ScanError("duplicate_series", "the link leads to a file below the root, which counts there"),
    DEEP: ScanError("unreadable", "the folder lies below too many others; index it as a root of its own"),
}


@dataclass(frozen=True)
class Survey:
    """The series of a place.

    Attributes
    ----------
    place
        The place, with the kind that its content shows.
    rows
        One for each series; see :data:`spinenet.index.catalogue.SERIES`.
    n_files
        Number of files opened.
    n_dicom
        Number of those that are DICOM.
    bytes_read
        Bytes read from storage.
    settled
        Whether the result holds as long as the place does not change; False where storage refused or
        failed, which may pass.
    """

    place: Place
    rows: tuple[Row, ...]
    n_files: int
    n_dicom: int
    bytes_read: int
    settled: bool = True


def survey(fs: Any, place: Place, subject_of: Callable[[bytes], str | None] | None = None) -> Survey:
    """Read the headers of a place's files; an error of a file becomes a row's reason and is not raised.

    Parameters
    ----------
    fs
        The fsspec filesystem of the place.
    subject_of
        Makes a subject id from the first bytes of a DICOM file; None leaves ids to the folder names.
    """
    bytes_read: list[int] = []
    try:
        if place.kind in _NOT_OPENED:
            raise _NOT_OPENED[place.kind]
        if place.kind in (ARCHIVE, VOLUME):
            place = by_content(fs, place)
        if place.kind == EMPTY:
            # reported with the folders that hold no image, see spinenet.index.imageless
            rows, n_files, n_dicom = [], 0, 0
        elif place.kind == VOLUME:
            rows, n_dicom = [volume_row(fs, place, bytes_read.append)], 0
            n_files = sum(not name.lower().endswith(VOXELS) for name in place.files)
        else:
            rows, n_files, n_dicom = _dicom_rows(fs, place, subject_of, bytes_read.append)
    except Exception as error:
        reason, settled = _as_reason(place, error)
        return Survey(place, (_unusable_row(fs, place, reason),), 0, 0, sum(bytes_read), settled)
    return Survey(place, tuple(rows), n_files, n_dicom, sum(bytes_read))


def survey_all(fs: Any, places: Sequence[Place], key: bytes) -> list[Survey]:
    """Survey places in turn; kept out of the flows so that a worker need not import Prefect.

    Parameters
    ----------
    fs
        The fsspec filesystem of the places.
    places
        The places.
    key
        Secret key of the hash that names subjects; empty leaves ids to the folder names.
    """
    subject_of = keyed_subject(key) if key else None
    return [survey(fs, place, subject_of) for place in places]


def _as_reason(place: Place, error: Exception) -> tuple[ScanError, bool]:
    """(why a place is not usable, whether the fault is the place's own and not its storage's)."""
    if isinstance(error, ScanError):
        return error, place.kind not in (REFUSED, FAILED, LOST)
    storage_error = scan_error(error)
    if storage_error is not None:
        return storage_error, False
    kind = type(error).__name__
    if isinstance(error, OSError) and place.kind != "archive":
        return ScanError("storage_failed", f"storage failed ({kind})"), False
    if place.kind == "archive":
        return ScanError("unreadable", f"the archive is broken ({kind})"), True
    return ScanError("internal_error", f"the headers could not be read ({kind})"), False


def _dicom_rows(
    fs: Any, place: Place, subject_of: Callable[[bytes], str | None] | None, count: Callable[[int], None]
) -> tuple[list[Row], int, int]:
    gathered = gather(fs, place, count, subject_of=subject_of)
    rows = [
        _series_row(fs, place, series, gathered) | {"subject_id": gathered.subject(series)}
        for series in gathered.series()
    ]
    if place.kind == ARCHIVE:
        return rows or [_archive_row(fs, place, gathered, count)], gathered.n_files, gathered.n_dicom
    if not rows and (gathered.broken is not None or (gathered.n_dicom and not place.deeper)):
        rows.append(_failure_row(fs, place, gathered))
    for name in gathered.archives:
        rows += _inner_archive_rows(fs, place, name, subject_of, count)
    for name, what in gathered.unread.items():
        rows.append(_file_row(fs, name, unsupported(what)))
    return rows, gathered.n_files, gathered.n_dicom


def _archive_row(fs: Any, place: Place, gathered: Gathered, count: Callable[[int], None]) -> Row:
    """The row of an archive without DICOM: its image, or why it has none."""

    def contents() -> Mapping[str, bytes]:
        return members(fetched(fs, place.path, count)) or {}

    try:
        name = gathered.image()
        if name is not None:
            columns = image_row(
                name, gathered.listed[name], gathered.sidecars_of(name), lambda: gathered.image_grid(contents)
            )
            return bare_row(fs, place.path) | columns
    except ScanError as error:
        return _unusable_row(fs, place, error)
    if not gathered.listed:
        return _unusable_row(fs, place, ScanError("no_files", "the archive holds no files"))
    return _failure_row(fs, place, gathered)


def _failure_row(fs: Any, place: Place, gathered: Gathered) -> Row:
    """The row of a place without a series or an image: the error that reading it gives."""
    try:
        gathered.required()
    except ScanError as error:
        return _unusable_row(fs, place, error)
    raise AssertionError("a place with a series has a row of it")


def _inner_archive_rows(
    fs: Any,
    place: Place,
    name: str,
    subject_of: Callable[[bytes], str | None] | None,
    count: Callable[[int], None],
) -> list[Row]:
    """The rows of an archive that its name does not show; a program (.exe) counts only with a series."""
    archive = Place(name, ARCHIVE, {name: place.files[name]}, "")
    if not is_text(name):
        return [_file_row(fs, name, _NOT_OPENED[UNNAMEABLE])]
    inner = survey(fs, archive, subject_of)
    count(inner.bytes_read)
    program = name.lower().endswith(".exe")
    return [row for row in inner.rows if not program or row["usable"] or row.get("series_uid")]


def _file_row(fs: Any, name: str, error: ScanError) -> Row:
    if not is_text(name):
        name, error = name.encode(errors="replace").decode(), _NOT_OPENED[UNNAMEABLE]
    return bare_row(fs, name) | reason_row(error)


def _series_row(fs: Any, place: Place, series: Series, gathered: Gathered) -> Row:
    first = series.frames[0]
    files = sorted({frame.name for frame in series.frames})
    single_file = place.kind == FOLDER and len(files) == 1 and is_text(files[0])
    row = bare_row(fs, files[0] if single_file else path_of(place))
    row |= {
        "series_uid": series.name or None,
        "plane": _plane(series.frames),
        "sequence": sequence_of_frame(first),
        "rows": first.pixels.rows,
        "columns": first.pixels.columns,
        "slices": len(series.frames),
        "transfer_syntax": first.pixels.transfer_syntax,
        "n_files": len(files),
        "bytes": sum(gathered.sizes[name] for name in files),
        **{name: first.facts.get(name) for name in FACTS},
    }
    if first.spacing:
        row |= {"row_spacing_mm": first.spacing[0], "column_spacing_mm": first.spacing[1]}
    outcome = series.outcome if isinstance(series.outcome, ScanError) else gathered.shortened(series)
    if outcome is None and place.kind == FOLDER and not single_file:
        outcome = _too_large(place)
    if outcome is not None:
        return row | field_of_view(row) | reason_row(outcome)
    assert isinstance(series.outcome, Stack)
    return row | grid_row(series.outcome.grid) | {"series_mark": gathered.mark(series)}


def _too_large(place: Place) -> ScanError | None:
    """The error of a folder that is too large to read as a whole, however small the series."""
    try:
        n_beside, bytes_beside = place.beside
        check_total(len(place.files) + n_beside, sum(place.files.values()) + bytes_beside)
    except ScanError as error:
        return error
    return None


def _plane(frames: tuple[Frame, ...]) -> str | None:
    planes = {plane_of(orientation) for orientation in {frame.orientation for frame in frames} if orientation}
    return planes.pop() if len(planes) == 1 else "several" if planes else None


def _unusable_row(fs: Any, place: Place, error: ScanError) -> Row:
    return bare_row(fs, path_of(place)) | reason_row(error)
