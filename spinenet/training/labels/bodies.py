"""Turns volumes of labels, of which some are vertebrae, into vertebrae with a quad in each slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from spinenet.anatomy import LEVEL_INDEX
from spinenet.geometry import Points, rescale_quads
from spinenet.training.labels.labelled import levels_up_from
from spinenet.training.labels.outlines import bodies_in_front, front_of, outline_around, quad_of, ups
from spinenet.types import Vertebra

LEAST_MM2 = 120.0
"""Area of the smallest part of a mask that is taken for a body; that of C4 is about 200, that of L3 1000."""

_RIM_SHARE = 0.4
"""Share of its largest area below which a body's slice shows only its rim."""

_SAME_MM = 11.0
"""Largest distance between the centres of one body in neighbouring slices; bodies are 16 or more apart."""

_LEAST_SLICES_MM = 6.0
"""Width that a body without a number must have to count as one."""

Outlines = dict[int, dict[int, Points]]
"""Outlines by the number of a vertebra, and by slice."""


def numbered_bodies(
    labels: npt.NDArray[np.integer],
    levels: Mapping[int, str],
    spacing: tuple[float, float],
    canal: npt.NDArray[np.bool_] | None = None,
) -> tuple[Vertebra, ...]:
    """Vertebrae of a volume in which each has a value of its own.

    Parameters
    ----------
    labels
        (rows, columns, slices), the patient facing to the left.
    levels
        Level of each value that is a vertebra.
    spacing
        (row, column) in mm.
    canal
        As ``labels``: the spinal canal, where the values include arches; None where they are bodies alone.

    Returns
    -------
    tuple of Vertebra
        Cranial to caudal, in pixels that are square, of the smaller spacing.
    """
    fronts = None if canal is None else _fronts(canal)
    outlines: Outlines = {}
    for value in np.unique(labels):
        if int(value) not in levels:
            continue
        for k in np.flatnonzero((labels == value).any(axis=(0, 1))):
            part = labels[:, :, k] == value
            body = _largest(part if fronts is None else part & fronts[k])
            if body.sum() * spacing[0] * spacing[1] >= LEAST_MM2:
                outlines.setdefault(int(value), {})[int(k)] = outline_around(body)
    return _vertebrae(outlines, levels, spacing)


def counted_bodies(
    vertebrae: npt.NDArray[np.bool_],
    canal: npt.NDArray[np.bool_],
    spacing: tuple[float, float],
    slice_spacing: float,
    lowest: str,
) -> tuple[Vertebra, ...]:
    """Vertebrae of a volume in which all have one value, counted from the lowest one.

    Parameters
    ----------
    vertebrae, canal
        (rows, columns, slices): bodies and arches, and the spinal canal; the patient faces to the left.
    spacing, slice_spacing
        (row, column) and distance between slices, in mm.
    lowest
        Level of the lowest of them.

    Returns
    -------
    tuple of Vertebra
        As :func:`numbered_bodies`.

    Raises
    ------
    ValueError
        There are more of them than levels.
    """
    least = round(LEAST_MM2 / (spacing[0] * spacing[1]))
    nearest = _nearest_shown(canal)
    if nearest is None:
        return ()
    found = [
        list(bodies_in_front(vertebrae[:, :, k], canal[:, :, nearest[k]], least_pixels=least))
        for k in range(vertebrae.shape[2])
    ]
    tracks = _tracks(found, np.array(spacing[::-1]))
    needed = max(1, round(_LEAST_SLICES_MM / slice_spacing)) if slice_spacing > 0 else 1
    kept = [track for track in tracks if len(track) >= min(needed, len(found))]
    levels = levels_up_from(lowest, len(kept)) if kept else ()
    return _vertebrae(dict(enumerate(kept)), dict(enumerate(levels)), spacing)


def _nearest_shown(canal: npt.NDArray[np.bool_]) -> list[int] | None:
    """For each slice the nearest one that shows the canal; None where none does."""
    areas = canal.sum(axis=(0, 1))
    # the rim of the canal in its last slices says nothing of where bodies end
    shown = np.flatnonzero((areas > 0) & (areas >= 0.3 * areas.max()))
    return [int(shown[np.abs(shown - k).argmin()]) for k in range(canal.shape[2])] if len(shown) else None


def _fronts(canal: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.bool_]] | None:
    """What lies in front of the canal in each slice; None where no slice shows it."""
    nearest = _nearest_shown(canal)
    return None if nearest is None else [front_of(canal[:, :, k]) for k in nearest]


def _largest(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The largest part of a mask, once opened: a pedicle's end hangs on by few pixels."""
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, parts, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=4)
    if count < 2:
        return np.zeros_like(mask)
    largest: npt.NDArray[np.bool_] = parts == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    return largest


def _tracks(found: Sequence[Sequence[Points]], pixel_mm: Points) -> list[dict[int, Points]]:
    """Outlines by slice of each body, cranial to caudal, followed from the slice that shows most of them."""
    counts = np.array([len(outlines) for outlines in found])
    if not counts.any():
        return []
    most = np.flatnonzero(counts == counts.max())
    start = int(most[np.abs(most - (len(found) - 1) / 2).argmin()])
    tracks = [{start: outline} for outline in found[start]]
    for way in (range(start - 1, -1, -1), range(start + 1, len(found))):
        last = [_centre(track[start]) if start in track else None for track in tracks]
        for k in way:
            for outline in found[k]:
                centre = _centre(outline)
                away = [
                    np.inf if at is None else float(np.linalg.norm((at - centre) * pixel_mm)) for at in last
                ]
                nearest = int(np.argmin(away))
                if away[nearest] > _SAME_MM:
                    tracks.append({k: outline})
                    last.append(centre)
                elif k not in tracks[nearest]:
                    tracks[nearest][k], last[nearest] = outline, centre
    return sorted(tracks, key=lambda track: float(np.mean([_centre(o)[1] for o in track.values()])))


def _centre(outline: Points) -> Points:
    middle: Points = (outline.min(axis=0) + outline.max(axis=0)) / 2
    return middle


def _vertebrae(
    outlines: Outlines, levels: Mapping[int, str], spacing: tuple[float, float]
) -> tuple[Vertebra, ...]:
    """Vertebrae of outlines in stored pixels; slices that show only a body's rim are left out."""
    square = (min(spacing), min(spacing))
    moved = {
        value: {k: rescale_quads(outline, spacing, square) for k, outline in slices.items()}
        for value, slices in _without_rims(outlines).items()
    }
    values = sorted(moved, key=lambda value: -LEVEL_INDEX[levels[value]])
    centres = {value: np.mean([_centre(o) for o in moved[value].values()], axis=0) for value in values}
    directions = dict(zip(values, ups([centres[value] for value in values]), strict=True))
    made = []
    for value in values:
        slices = sorted(moved[value])
        quads = np.stack([quad_of(moved[value][k], directions[value]) for k in slices])
        made.append(Vertebra(slices=tuple(slices), quads=quads, level=levels[value]))
    return tuple(made)


def _without_rims(outlines: Outlines) -> Outlines:
    kept: Outlines = {}
    for value, slices in outlines.items():
        areas = {k: float(cv2.contourArea(outline.astype(np.float32))) for k, outline in slices.items()}
        limit = _RIM_SHARE * max(areas.values())
        kept[value] = {k: outline for k, outline in slices.items() if areas[k] >= limit}
    return kept


def check_column(vertebrae: Sequence[Vertebra]) -> str | None:
    """What is odd about the order or the gaps of a scan's vertebrae, in a few words; None if nothing is."""
    for above, below in pairwise(vertebrae):
        if above.mean_quad[:, 1].mean() >= below.mean_quad[:, 1].mean():
            return f"{above.level} lies below {below.level}"
        if LEVEL_INDEX[above.level] - LEVEL_INDEX[below.level] > 1:
            return f"nothing is labelled between {above.level} and {below.level}"
    return None
