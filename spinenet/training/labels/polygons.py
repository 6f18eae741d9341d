"""Reads pictures of slices with their vertebral bodies as polygons, one line of JSON a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from spinenet.anatomy import LEVEL_INDEX
from spinenet.errors import LabelsError
from spinenet.geometry import Points, is_square, rescale_quads, to_square_pixels
from spinenet.training.labels.bodies import check_column, fitting_quad
from spinenet.training.labels.files import LabelledFile
from spinenet.training.labels.labelled import LabelledScan, open_sides
from spinenet.training.labels.listings import Listed, Spacing, listed
from spinenet.training.labels.outlines import ups
from spinenet.training.labels.pictures import read_picture
from spinenet.types import Scan, Vertebra

_TURN_NEEDS = ("L2", "L4", "L5", "S1")
"""Levels between whose centres the column's turn into the sacrum is measured."""


def polygon_files(
    listing: Path, *, source: str, spacing_mm: Spacing | None = None, sequence: str = "other"
) -> tuple[LabelledFile, ...]:
    """The pictures of a file of JSON lines.

    Each line is an object with ``image`` (a path relative to the file), ``subject`` (or ``patient``) and
    ``polygons``: points [[x, y], ...] in pixels, pixel centres at whole numbers, by level such as "L4". It
    may have ``spacing_mm`` (a number, or [row, column]), ``sequence``, ``open_above`` and ``open_below``
    (false where no body was left out on that side), and ``faces``: pictures in which the patient faces to the
    "right" are mirrored; where neither it nor "left" is stated, the sacrum's turn says it, or it is left.

    Parameters
    ----------
    listing
        The file.
    source
        The collection's name; a ``patient`` is a subject of this name.
    spacing_mm, sequence
        For lines that do not state them.

    Raises
    ------
    LabelsError
        A line is no such object.
    OSError
        The file is not there.
    """
    stated = {"spacing_mm": spacing_mm, "sequence": sequence}
    return listed(listing, source, ("polygons", dict), stated, _read)


def _read(one: Listed) -> LabelledScan:
    name, line, spacing = one.name, one.line, one.spacing
    picture = read_picture(one.folder / name)
    scan = to_square_pixels(Scan(picture.astype(np.float32)[:, :, None], spacing, 0.0))
    outlines = {level: _outline(points, level, name) for level, points in line["polygons"].items()}
    levels = sorted(outlines, key=lambda level: -LEVEL_INDEX[level])
    size = np.array(picture.shape[::-1])
    if not levels or any((outlines[level].mean(axis=0) > size).any() for level in levels):
        raise LabelsError(f"{name} has no polygons, or one outside the picture")
    if not is_square(spacing):
        outlines = {
            level: rescale_quads(points, spacing, scan.pixel_spacing) for level, points in outlines.items()
        }
    volume = scan.volume.astype(np.float32)
    if _faces_right(outlines, line.get("faces"), name):
        volume = np.ascontiguousarray(volume[:, ::-1])
        outlines = {level: points * [-1, 1] + [volume.shape[1] - 1, 0] for level, points in outlines.items()}
    directions = ups([_centre(outlines[level]) for level in levels])
    quads = {
        level: _quad(outlines[level], up, level, name) for level, up in zip(levels, directions, strict=True)
    }
    doubtful = tuple(outlines[level] for level in levels if quads[level] is None)
    vertebrae = tuple(Vertebra((0,), quad[None], level) for level, quad in quads.items() if quad is not None)
    check_column(vertebrae, name)
    open_above, open_below = open_sides(levels)
    return LabelledScan(
        volume=volume,
        spacing_mm=scan.pixel_spacing[0],
        slice_spacing=0.0,
        vertebrae=vertebrae,
        open_above=bool(line.get("open_above", open_above)),
        open_below=bool(line.get("open_below", open_below)),
        subject=one.subject,
        source=one.source,
        name=name,
        sequence=str(line["sequence"]),
        doubtful={0: doubtful} if doubtful else {},
    )


def _faces_right(outlines: Mapping[str, Points], stated: object, name: str) -> bool:
    """Whether the patient faces to the right: as stated, or as the sacrum turns, which is backwards.

    Of 439 midsagittal pictures it turns by 19 degrees or more backwards in 427, and by 29 or more forwards in
    the 12 that were mirrored (the Mendeley collections k57fr854j2 and k3b363f3vz).
    """
    if stated is not None:
        if stated not in ("left", "right"):
            raise LabelsError(f"{name} is said to face {stated!r}, which is neither left nor right")
        return stated == "right"
    if not set(_TURN_NEEDS) <= outlines.keys():
        return False
    upper, middle, lower, sacrum = (_centre(outlines[level]) for level in _TURN_NEEDS)
    (x, y), (to_x, to_y) = middle - upper, sacrum - lower
    # positive where the lower part is turned clockwise on the screen, to the left
    return bool(x * to_y - y * to_x > 0)


def _centre(outline: Points) -> Points:
    middle: Points = (outline.min(axis=0) + outline.max(axis=0)) / 2
    return middle


def _outline(points: object, level: str, name: str) -> Points:
    if level not in LEVEL_INDEX:
        raise LabelsError(f"{name} has a polygon of {level!r}, which is no level")
    try:
        outline = np.asarray(points, np.float64).reshape(-1, 2)
    except (TypeError, ValueError):
        outline = np.full((1, 2), np.nan)
    if not np.isfinite(outline).all():
        raise LabelsError(f"the polygon of {level} of {name} is no list of points")
    return outline


def _quad(outline: Points, up: Points, level: str, name: str) -> Points | None:
    try:
        return fitting_quad(outline, up)
    except ValueError:
        raise LabelsError(f"the polygon of {level} of {name} encloses nothing") from None
