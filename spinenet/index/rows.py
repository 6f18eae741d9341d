"""Columns that every row of an index has, whatever it was read from."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from typing import Any

from spinenet.cohort.tables import grid_columns
from spinenet.errors import ScanError
from spinenet.index.places import Place, as_url
from spinenet.readers.space.orientation import Grid

Row = dict[str, Any]
"""Values of one series by the columns of :data:`spinenet.index.catalogue.SERIES`."""

DIRECTLY = "*"
"""Last part of a path that stands for a folder's own files, without those of its subfolders."""


def bare_row(fs: Any, path: str) -> Row:
    """A row with its path alone, not usable until a grid is added."""
    return {"path": as_url(fs, path), "usable": False, "reason": None, "detail": None}


def path_of(place: Place) -> str:
    """The path of a place in a manifest; for a folder with subfolders, a glob of its own files."""
    return f"{glob.escape(place.path)}/{DIRECTLY}" if place.deeper else place.path


def reason_row(error: ScanError) -> Row:
    """The columns that say why a series is not usable."""
    return {"reason": error.reason, "detail": error.detail}


def grid_row(grid: Grid) -> Row:
    """Size, spacings (mm) and field of view of a usable series, on the grid of the scan it is read as."""
    row = {"usable": True, **grid_columns(grid.shape, grid.pixel_spacing, grid.slice_spacing)}
    return row | field_of_view(row)


def field_of_view(row: Mapping[str, Any]) -> Row:
    """Height and width of an image in mm, where its size and spacing are present."""
    sides = {"height": "row", "width": "column"}
    return {
        f"field_of_view_{side}_mm": row[f"{axis}s"] * row[f"{axis}_spacing_mm"]
        for side, axis in sides.items()
        if row.get(f"{axis}s") and row.get(f"{axis}_spacing_mm")
    }
