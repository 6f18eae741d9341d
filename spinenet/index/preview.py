"""What reading a path would come to, told from headers: the scan's grid, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeVar

from spinenet.errors import ScanError
from spinenet.index.contents import by_content
from spinenet.index.gather import Gathered, gather
from spinenet.index.places import FOLDER, VOLUME, Place, as_url
from spinenet.index.volumes import volume_grid
from spinenet.readers.dicom.choice import choose_series
from spinenet.readers.dicom.stacks import Stack
from spinenet.readers.sources.files import fetch, fetch_beside, list_files
from spinenet.readers.sources.limits import check_total
from spinenet.readers.space.orientation import Grid
from spinenet.readers.space.reformat import slices_joined
from spinenet.readers.volumes.assembly import told_by
from spinenet.readers.volumes.labels import check_name
from spinenet.readers.volumes.sidecars import parse_sidecars, sidecar_names
from spinenet.storage.causes import scan_error

_T = TypeVar("_T")


@dataclass(frozen=True)
class Preview:
    """A scan before it is read.

    Attributes
    ----------
    shape
        (rows, columns, slices) of the scan.
    pixel_spacing
        (row, column) mm.
    n_bytes
        Of the path's files, as stored.
    n_values
        Values of the volume that is decoded, before thin slices are joined.
    mark
        The same for the same files under any path, as far as their headers tell.
    """

    shape: tuple[int, int, int]
    pixel_spacing: tuple[float, float]
    n_bytes: int
    n_values: int
    mark: str


def preview(
    path: str,
    *,
    series_uid: str | None = None,
    overrides: Mapping[str, str] | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Preview:
    """Look at the headers of what :func:`spinenet.readers.series.read_scan` would read.

    Raises
    ------
    ScanError
        With the reason that reading would give, but for what only the pixels can show.
    """
    fs, sizes, _ = list_files(path, storage_options)
    if not sizes:
        raise ScanError("no_files", "the path holds no files")
    check_total(len(sizes), sum(sizes.values()))
    place = Place(path, FOLDER, sizes, "")
    if len(sizes) == 1:
        place = _guarded(lambda: by_content(fs, Place(next(iter(sizes)), FOLDER, sizes, "")))
    # a header of these has nothing of its own
    marks = [path]
    if place.kind == VOLUME:
        grid = _guarded(lambda: _checked_grid(fs, place, storage_options))
    else:
        found = _guarded(lambda: gather(fs, place, _uncounted, overrides=overrides))
        image = found.image()
        if image is not None:
            told_by(parse_sidecars(found.sidecars_of(image)), image)
            grid = found.image_grid(lambda: fetch(path, storage_options).files)
        else:
            stack = _stack(found, series_uid, thickness_given="SliceThickness" in (overrides or {}))
            marks = sorted({frame.digest for frame in stack.frames})
            grid = stack.grid
    rows, columns, slices = grid.shape
    return Preview(
        shape=(rows, columns, slices // slices_joined(slices, grid.slice_spacing)),
        pixel_spacing=grid.pixel_spacing,
        n_bytes=sum(sizes.values()),
        n_values=rows * columns * slices,
        mark=sha256("\n".join(marks).encode()).hexdigest(),
    )


def _checked_grid(fs: Any, place: Place, storage_options: Mapping[str, Any] | None) -> Grid:
    """The grid of a volume that is a path of its own, whose name and JSON files say that it is an image."""
    check_name(place.path)
    grid = volume_grid(fs, place, _uncounted)
    wanted = sidecar_names(place.path)
    there = fetch_beside(as_url(fs, place.path), wanted, storage_options)
    told_by(parse_sidecars(there[name] for name in wanted if name in there), place.path)
    return grid


def _guarded(look: Callable[[], _T]) -> _T:
    try:
        return look()
    except ScanError:
        raise
    except Exception as error:
        unknown = ScanError("unreadable", f"the path cannot be read ({type(error).__name__})")
        raise scan_error(error) or unknown from None


def _stack(found: Gathered, series_uid: str | None, *, thickness_given: bool) -> Stack:
    found.required()
    series, stack = choose_series(found.series(thickness_given=thickness_given), series_uid)
    shortened = found.shortened(series)
    if shortened is not None:
        raise shortened
    return stack


def _uncounted(read: int) -> None:
    """Count nothing."""
