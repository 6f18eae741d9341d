"""Predicts from headers what reading a path would give: the scan's grid, or the reason of its failure."""

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
from spinenet.readers.volumes.assembly import sequence_and_facts
from spinenet.readers.volumes.labels import check_name
from spinenet.readers.volumes.sidecars import parse_sidecars, sidecar_names
from spinenet.storage.causes import scan_error

_T = TypeVar("_T")


@dataclass(frozen=True)
class Preview:
    """Size and grid of a scan, from headers alone.

    Attributes
    ----------
    shape
        (rows, columns, slices) of the scan.
    pixel_spacing
        (row, column) spacing in mm.
    n_bytes
        Size of the path's files as stored, in bytes.
    n_values
        Number of voxels that are decoded, before thin slices are averaged.
    mark
        Digest of the headers: equal for copies of the same files under another path.
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
    """Read the headers of what :func:`spinenet.readers.series.read_scan` would read.

    Parameters
    ----------
    path, series_uid, overrides, storage_options
        As for :func:`spinenet.readers.series.read_scan`.

    Raises
    ------
    ScanError
        The reason that reading would give, except for faults that only the pixels show.
    """
    fs, sizes, _ = list_files(path, storage_options)
    if not sizes:
        raise ScanError("no_files", "the path holds no files")
    check_total(len(sizes), sum(sizes.values()))
    place = Place(path, FOLDER, sizes, "")
    if len(sizes) == 1:
        place = _as_scan_error(lambda: by_content(fs, Place(next(iter(sizes)), FOLDER, sizes, "")))
    # headers of NIfTI and MetaImage files do not identify a scan, so the path stands for them
    marks = [path]
    if place.kind == VOLUME:
        grid = _as_scan_error(lambda: _checked_grid(fs, place, storage_options))
    else:
        gathered = _as_scan_error(lambda: gather(fs, place, _uncounted, overrides=overrides))
        image = gathered.image()
        if image is not None:
            sequence_and_facts(parse_sidecars(gathered.sidecars_of(image)), image)
            grid = gathered.image_grid(lambda: fetch(path, storage_options).files)
        else:
            stack = _stack(gathered, series_uid, thickness_given="SliceThickness" in (overrides or {}))
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
    """The grid of a single NIfTI or MetaImage file, once its name and sidecars say that it is an image."""
    check_name(place.path)
    grid = volume_grid(fs, place, _uncounted)
    names = sidecar_names(place.path)
    sidecars = fetch_beside(as_url(fs, place.path), names, storage_options)
    sequence_and_facts(parse_sidecars(sidecars[name] for name in names if name in sidecars), place.path)
    return grid


def _as_scan_error(read: Callable[[], _T]) -> _T:
    """Call a function, with every error as a ScanError."""
    try:
        return read()
    except ScanError:
        raise
    except Exception as error:
        unknown = ScanError("unreadable", f"the path cannot be read ({type(error).__name__})")
        raise scan_error(error) or unknown from None


def _stack(gathered: Gathered, series_uid: str | None, *, thickness_given: bool) -> Stack:
    gathered.required()
    series, stack = choose_series(gathered.series(thickness_given=thickness_given), series_uid)
    shortened = gathered.shortened(series)
    if shortened is not None:
        raise shortened
    return stack


def _uncounted(read: int) -> None:
    """Ignore the number of bytes read: a preview reports no traffic."""
