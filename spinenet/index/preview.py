"""What reading a path would come to, told from headers: the scan's grid, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np

from spinenet.errors import ScanError
from spinenet.index.heads import read_head
from spinenet.index.members import open_members
from spinenet.index.places import ARCHIVES, VOLUMES, Place
from spinenet.index.survey import volume_grid
from spinenet.readers.dicom import choose_series, group_series
from spinenet.readers.files import list_files
from spinenet.readers.headers import Frame
from spinenet.readers.limits import check_total
from spinenet.readers.reformat import SLAB_MM, THIN_MM


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
    volumes = [name for name in sizes if name.lower().endswith(VOLUMES)]
    if len(volumes) == 1 and len(sizes) == 1:
        grid = volume_grid(fs, Place(volumes[0], "volume", sizes, ""))
        spacing, shape, slice_mm = grid.pixel_spacing, grid.shape, grid.slice_spacing
        # a header has nothing of its own
        marks = [path]
    else:
        only = next(iter(sizes)) if len(sizes) == 1 else ""
        kind = "archive" if only.lower().endswith(ARCHIVES) else "folder"
        frames = _frames(fs, Place(only or path, kind, sizes, ""), overrides)
        every = group_series(frames, thickness_given="SliceThickness" in (overrides or {}))
        _, stack = choose_series(every, series_uid)
        marks = sorted({frame.digest for frame in stack.frames})
        pixels = stack.frames[0].pixels
        stored = (pixels.rows or 0, pixels.columns or 0, len(stack.frames))
        steps = np.linalg.norm(stack.affine[:3, :3], axis=0)
        rows, columns, slices = (stored[axis] for axis in stack.axes.order)
        row_mm, column_mm = (float(steps[axis]) for axis in stack.axes.order[:2])
        spacing, shape, slice_mm = (row_mm, column_mm), (rows, columns, slices), stack.slice_spacing
    values = int(np.prod(shape))
    if slice_mm < THIN_MM:
        shape = (*shape[:2], max(1, round(shape[2] * slice_mm / SLAB_MM)))
    mark = sha256("\n".join(marks).encode()).hexdigest()
    return Preview(shape, spacing, sum(sizes.values()), values, mark)


def _frames(fs: Any, place: Place, overrides: Mapping[str, str] | None) -> list[Frame]:
    frames: list[Frame] = []
    digests: set[str] = set()
    broken: ScanError | None = None
    for name, _, file in open_members(fs, place, lambda read: None):
        try:
            found, _ = read_head(name, file, overrides)
        except ScanError as error:
            if error.reason != "unreadable":
                raise
            broken = error
            continue
        if found and found[0].digest not in digests:
            digests.add(found[0].digest)
            frames += [frame for frame in found if frame.series_uid or frame.pixels.rows is not None]
    if not frames:
        raise broken or ScanError("not_dicom", "no file of the path is DICOM")
    return frames
