"""A place becomes rows, one for each series in it, by headers alone."""

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
from spinenet.index.rows import Row, bare_row, because, field_of_view, grid_row, path_of
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

_NOT_LOOKED_INTO = {
    UNNAMEABLE: ScanError("unreadable", "the path is no UTF-8 text, so no manifest can name it; rename it"),
    REFUSED: ScanError("permission_denied", "storage refused to let the folder be listed"),
    FAILED: ScanError("storage_failed", "storage failed to list the folder"),
    LOST: ScanError("path_missing", "the link leads to nothing (if it is of git-annex: datalad get)"),
    LINKED: ScanError("duplicate_series", "the link leads to a file below the root, which counts there"),
    DEEP: ScanError("unreadable", "the folder lies below too many others; index it as a root of its own"),
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
        if place.kind in (ARCHIVE, VOLUME):
            place = by_content(fs, place)
        if place.kind == EMPTY:
            # told with the folders that hold no image, see spinenet.index.imageless
            rows, n_files, n_dicom = [], 0, 0
        elif place.kind == VOLUME:
            rows, n_dicom = [volume_row(fs, place, read.append)], 0
            n_files = sum(not name.lower().endswith(VOXELS) for name in place.files)
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
        return error, place.kind not in (REFUSED, FAILED, LOST)
    known = scan_error(error)
    if known is not None:
        return known, False
    kind = type(error).__name__
    if isinstance(error, OSError) and place.kind != "archive":
        return ScanError("storage_failed", f"storage failed ({kind})"), False
    if place.kind == "archive":
        return ScanError("unreadable", f"the archive is broken ({kind})"), True
    return ScanError("internal_error", f"the headers could not be read ({kind})"), False


def _dicom(
    fs: Any, place: Place, subject_of: Callable[[bytes], str | None] | None, count: Callable[[int], None]
) -> tuple[list[Row], int, int]:
    found = gather(fs, place, count, subject_of=subject_of)
    rows = [
        _series_row(fs, place, series, found) | {"subject_id": found.subject(series)}
        for series in found.series()
    ]
    if place.kind == ARCHIVE:
        return rows or [_of_archive(fs, place, found, count)], found.n_files, found.n_dicom
    if not rows and (found.broken is not None or (found.n_dicom and not place.deeper)):
        rows.append(_required(fs, place, found))
    for name in found.archives:
        rows += _inner(fs, place, name, subject_of, count)
    for name, what in found.unread.items():
        rows.append(_of_file(fs, name, unsupported(what)))
    return rows, found.n_files, found.n_dicom


def _of_archive(fs: Any, place: Place, found: Gathered, count: Callable[[int], None]) -> Row:
    """The row of an archive without DICOM: of its image, or why there is none."""

    def contents() -> Mapping[str, bytes]:
        return members(fetched(fs, place.path, count)) or {}

    try:
        name = found.image()
        if name is not None:
            told = image_row(
                name, found.listed[name], found.sidecars_of(name), lambda: found.image_grid(contents)
            )
            return bare_row(fs, place.path) | told
    except ScanError as error:
        return _unusable(fs, place, error)
    if not found.listed:
        return _unusable(fs, place, ScanError("no_files", "the archive holds no files"))
    return _required(fs, place, found)


def _required(fs: Any, place: Place, found: Gathered) -> Row:
    """The row of a place without a series or an image, which says what reading it says."""
    try:
        found.required()
    except ScanError as error:
        return _unusable(fs, place, error)
    raise AssertionError("a place with a series has a row of it")


def _inner(
    fs: Any,
    place: Place,
    name: str,
    subject_of: Callable[[bytes], str | None] | None,
    count: Callable[[int], None],
) -> list[Row]:
    """The rows of an archive whose name says nothing of it; a program without a series has none."""
    archive = Place(name, ARCHIVE, {name: place.files[name]}, "")
    if not is_text(name):
        return [_of_file(fs, name, _NOT_LOOKED_INTO[UNNAMEABLE])]
    found = survey(fs, archive, subject_of)
    count(found.bytes_read)
    program = name.lower().endswith(".exe")
    return [row for row in found.rows if not program or row["usable"] or row.get("series_uid")]


def _of_file(fs: Any, name: str, error: ScanError) -> Row:
    if not is_text(name):
        name, error = name.encode(errors="replace").decode(), _NOT_LOOKED_INTO[UNNAMEABLE]
    return bare_row(fs, name) | because(error)


def _series_row(fs: Any, place: Place, series: Series, found: Gathered) -> Row:
    first = series.frames[0]
    files = sorted({frame.name for frame in series.frames})
    alone = place.kind == FOLDER and len(files) == 1 and is_text(files[0])
    row = bare_row(fs, files[0] if alone else path_of(place))
    row |= {
        "series_uid": series.name or None,
        "plane": _plane(series.frames),
        "sequence": sequence_of_frame(first),
        "rows": first.pixels.rows,
        "columns": first.pixels.columns,
        "slices": len(series.frames),
        "transfer_syntax": first.pixels.transfer_syntax,
        "n_files": len(files),
        "bytes": sum(found.sizes[name] for name in files),
        **{name: first.facts.get(name) for name in FACTS},
    }
    if first.spacing:
        row |= {"row_spacing_mm": first.spacing[0], "column_spacing_mm": first.spacing[1]}
    outcome = series.outcome if isinstance(series.outcome, ScanError) else found.shortened(series)
    if outcome is None and place.kind == FOLDER and not alone:
        outcome = _excess(place)
    if outcome is not None:
        return row | field_of_view(row) | because(outcome)
    assert isinstance(series.outcome, Stack)
    return row | grid_row(series.outcome.grid) | {"series_mark": found.mark(series)}


def _excess(place: Place) -> ScanError | None:
    """The error of a folder that holds more than can be read, whatever the series has of it."""
    try:
        n_beside, bytes_beside = place.beside
        check_total(len(place.files) + n_beside, sum(place.files.values()) + bytes_beside)
    except ScanError as error:
        return error
    return None


def _plane(frames: tuple[Frame, ...]) -> str | None:
    planes = {plane_of(stated) for stated in {frame.orientation for frame in frames} if stated}
    return planes.pop() if len(planes) == 1 else "several" if planes else None


def _unusable(fs: Any, place: Place, error: ScanError) -> Row:
    return bare_row(fs, path_of(place)) | because(error)
