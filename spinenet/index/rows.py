"""What every row of an index has, whatever it was read from."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from typing import Any

from spinenet.errors import ScanError
from spinenet.index.places import Place, as_url
from spinenet.readers.space.orientation import Grid

Row = dict[str, Any]

DIRECTLY = "*"
"""Last part of a path that means the files of a folder, and not those of the folders in it."""


def bare_row(fs: Any, path: str) -> Row:
    """A row that is not usable yet."""
    return {"path": as_url(fs, path), "usable": False, "reason": None, "detail": None}


def path_of(place: Place) -> str:
    """How a manifest names a place: where more folders lie in it, by the files that are directly there."""
    return f"{glob.escape(place.path)}/{DIRECTLY}" if place.deeper else place.path


def because(error: ScanError) -> Row:
    """Why a row is not usable."""
    return {"reason": error.reason, "detail": error.detail}


def grid_row(grid: Grid) -> Row:
    """Size, spacings and field of view of a usable series, as its scan has them, whatever was stored."""
    row = {
        "usable": True,
        "rows": grid.shape[0],
        "columns": grid.shape[1],
        "slices": grid.shape[2],
        "row_spacing_mm": grid.pixel_spacing[0],
        "column_spacing_mm": grid.pixel_spacing[1],
        "slice_spacing_mm": grid.slice_spacing,
    }
    return row | field_of_view(row)


def field_of_view(row: Mapping[str, Any]) -> Row:
    """The sides of an image in mm, where its size and spacing are known."""
    sides = {"height": "row", "width": "column"}
    return {
        f"field_of_view_{side}_mm": row[f"{axis}s"] * row[f"{axis}_spacing_mm"]
        for side, axis in sides.items()
        if row.get(f"{axis}s") and row.get(f"{axis}_spacing_mm")
    }
