"""A vertebra as the published package's dict, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from spinenet.types import Vertebra


class VertDict(dict[str, Any]):
    """One vertebra: ``predicted_label``, ``slice_nos``, ``polys``, ``average_polygon``.

    Attributes
    ----------
    pixel_spacing
        (row, column) in mm of the scan it was found in, which a later step needs where pixels are
        not square and which the published dict does not carry.
    """

    def __init__(self, entries: Mapping[str, Any], pixel_spacing: tuple[float, float]) -> None:
        super().__init__(entries)
        self.pixel_spacing = pixel_spacing


class DebugOutput(NamedTuple):
    """What :meth:`spinenet.SpineNet.detect_vb` returns with ``debug=True``, as long as the published tuple.

    All but the vertebrae are None: the computation here does not keep them, as it works slice by slice and
    cuts each crop directly.
    """

    vert_dicts: list[VertDict]
    patches: None = None
    patch_dicts: None = None
    detection_dicts: None = None
    transform_dicts: None = None
    appearance_features: None = None
    context_output: None = None
    context_features: None = None
    decoded_sequence: None = None


def to_vert_dict(vertebra: Vertebra, pixel_spacing: tuple[float, float]) -> VertDict:
    """The published dict of a labelled vertebra, found in a scan of that (row, column) spacing."""
    entries = {
        "predicted_label": vertebra.level,
        "slice_nos": list(vertebra.slices),
        "polys": list(vertebra.quads),
        "average_polygon": vertebra.mean_quad,
    }
    return VertDict(entries, pixel_spacing)


def from_vert_dict(entries: Mapping[str, Any]) -> Vertebra:
    """The vertebra of a published dict, however it was made."""
    quads = np.asarray(entries["polys"], dtype=np.float64).reshape(-1, 4, 2)
    return Vertebra(tuple(map(int, entries["slice_nos"])), quads, str(entries["predicted_label"]))
