"""The columns of an index: of the manifest of its series, and of the places that were surveyed."""

from __future__ import annotations

import pyarrow as pa

_TEXT, _NUMBER, _WHOLE = pa.string(), pa.float64(), pa.int64()

SERIES = pa.schema(
    [
        ("scan_id", _TEXT),
        ("path", _TEXT),
        ("subject_id", _TEXT),
        ("series_uid", _TEXT),
        ("exclude", _TEXT),
        ("usable", pa.bool_()),
        ("reason", _TEXT),
        ("detail", _TEXT),
        ("purpose", _TEXT),
        ("choice", _TEXT),
        ("plane", _TEXT),
        ("sequence", _TEXT),
        ("region", _TEXT),
        ("rows", _WHOLE),
        ("columns", _WHOLE),
        ("slices", _WHOLE),
        ("row_spacing_mm", _NUMBER),
        ("column_spacing_mm", _NUMBER),
        ("slice_spacing_mm", _NUMBER),
        ("field_of_view_height_mm", _NUMBER),
        ("field_of_view_width_mm", _NUMBER),
        ("transfer_syntax", _TEXT),
        ("body_part", _TEXT),
        ("description", _TEXT),
        ("manufacturer", _TEXT),
        ("model", _TEXT),
        ("field_strength", _NUMBER),
        ("n_files", _WHOLE),
        ("bytes", _WHOLE),
        ("series_mark", _TEXT),
    ]
)
"""Schema of the manifest: one row for each series; ``exclude`` is set for series that were not chosen."""

NUMBERS = frozenset(column.name for column in SERIES if column.type in (_NUMBER, _WHOLE))
"""Names of the numeric columns of :data:`SERIES`."""

PLACES = pa.schema(
    [
        ("place", _TEXT),
        ("stamp", _TEXT),
        ("n_files", _WHOLE),
        ("n_dicom", _WHOLE),
        ("n_series", _WHOLE),
        ("bytes_read", _WHOLE),
        ("scan_ids", pa.list_(_TEXT)),
    ]
)
"""Schema of the surveyed places: each with the stamp that shows a change, and the series that it holds."""
