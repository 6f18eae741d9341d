"""What reading a path would come to, told from headers: the scan's grid, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from spinenet.errors import ScanError
from spinenet.index.gather import Gathered, gather
from spinenet.index.members import open_file
from spinenet.index.places import VOLUMES, Place
from spinenet.index.volumes import volume_grid
from spinenet.readers.archives import HEAD, is_archive
from spinenet.readers.choice import choose_series
from spinenet.readers.files import list_files
from spinenet.readers.limits import check_total
from spinenet.readers.reformat import slices_joined
from spinenet.readers.stacks import Stack
from spinenet.storage.causes import scan_error


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
    fs, sizes = list_files(path, storage_options)
    if not sizes:
        raise ScanError("no_files", "the path holds no files")
    check_total(len(sizes), sum(sizes.values()))
    only = next(iter(sizes)) if len(sizes) == 1 else ""
    # of an image given alone, the voxels may lie beside it
    found = None if only.lower().endswith(VOLUMES) else _gathered(fs, _place(fs, path, sizes), overrides)
    # a header of these has nothing of its own
    marks = [path]
    if found is None:
        grid = volume_grid(fs, Place(only, "volume", sizes, ""), _uncounted)
    elif found.image() is not None:
        grid = found.image_grid()
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


def _place(fs: Any, path: str, sizes: Mapping[str, int]) -> Place:
    only = next(iter(sizes)) if len(sizes) == 1 else ""
    if only:
        with open_file(fs, only) as file:
            if is_archive(file.read(HEAD)):
                return Place(only, "archive", sizes, "")
    return Place(only or path, "folder", sizes, "")


def _gathered(fs: Any, place: Place, overrides: Mapping[str, str] | None) -> Gathered:
    try:
        return gather(fs, place, _uncounted, overrides=overrides)
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
