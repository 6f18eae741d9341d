"""Turns volumes of labels, of which some are vertebrae, into vertebrae with a quad in each slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt
import shapely

from spinenet.anatomy import LEVEL_INDEX
from spinenet.errors import LabelsError
from spinenet.geometry import Points, rescale_quads
from spinenet.training.labels.labelled import levels_up_from
from spinenet.training.labels.outlines import bodies_in_front, front_of, outline_around, quad_of, ups
from spinenet.types import Vertebra

LEAST_MM2 = 120.0
"""Area of the smallest part of a mask that is taken for a body; that of C4 is about 200, that of L3 1000."""

_RIM_SHARE = 0.4
"""Share of its largest area below which a body's slice shows only its rim."""

_TYPICAL_SHARE = 0.25
"""The same as a share of what most bodies of the scan have; a cervical body has a third of a lumbar one's."""

_WHOLE_SHARE = 0.3
"""Share of the typical largest area that what has no number must reach to be a body: parts of joints and
pedicles in front of the canal have up to 0.25 in SPIDER, bodies from 0.5."""

_LEAST_FIT = 0.72
"""Least overlap of a quad with its outline, intersection over union; half of all bodies reach 0.89."""

_LEAST_TAPER = 0.4
"""Least length of a quad's edge over that of the opposite one: a slice along a pedicle shows a triangle."""

_SAME_MM = 11.0
"""Largest distance between the centres of one body in neighbouring slices; bodies are 16 or more apart."""

_LEAST_SLICES_MM = 6.0
"""Width that a body without a number must have to count as one."""

Outlines = dict[int, dict[int, Points]]
"""Outlines by the number of a vertebra, and by slice."""


@dataclass(frozen=True, eq=False)
class Bodies:
    """The vertebrae of a volume of labels, in pixels that are square, of the smaller spacing.

    Attributes
    ----------
    vertebrae
        Cranial to caudal.
    doubtful
        Outlines of bodies that have no quad, by slice: a rim, a cut along a pedicle, a fragment, a body that
        the edge of the picture cuts off.
    """

    vertebrae: tuple[Vertebra, ...]
    doubtful: Mapping[int, tuple[Points, ...]]


def numbered_bodies(
    labels: npt.NDArray[np.integer],
    levels: Mapping[int, str],
    spacing: tuple[float, float],
    canal: npt.NDArray[np.bool_] | None = None,
) -> Bodies:
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
    return _bodies(outlines, levels, spacing, labels.shape[0])


def counted_bodies(
    vertebrae: npt.NDArray[np.bool_],
    canal: npt.NDArray[np.bool_],
    spacing: tuple[float, float],
    slice_spacing: float,
    lowest: str,
) -> Bodies:
    """Vertebrae of a volume in which all have one value, counted from the lowest one.

    Parameters
    ----------
    vertebrae, canal
        (rows, columns, slices): bodies and arches, and the spinal canal; the patient faces to the left.
    spacing, slice_spacing
        (row, column) and distance between slices, in mm.
    lowest
        Level of the lowest of them.

    Raises
    ------
    ValueError
        There are more of them than levels.
    """
    least = round(LEAST_MM2 / (spacing[0] * spacing[1]))
    nearest = _nearest_shown(canal)
    if nearest is None:
        return Bodies((), {})
    found = [
        list(bodies_in_front(vertebrae[:, :, k], canal[:, :, nearest[k]], least_pixels=least))
        for k in range(vertebrae.shape[2])
    ]
    tracks = _tracks(found, np.array(spacing[::-1]))
    needed = max(1, round(_LEAST_SLICES_MM / slice_spacing)) if slice_spacing > 0 else 1
    largest = [max(map(_area, track.values())) for track in tracks]
    least_area = _WHOLE_SHARE * float(np.median(largest)) if largest else 0.0
    whole = [
        len(track) >= min(needed, len(found)) and area >= least_area
        for track, area in zip(tracks, largest, strict=True)
    ]
    kept = [track for track, is_whole in zip(tracks, whole, strict=True) if is_whole]
    fragments = [track for track, is_whole in zip(tracks, whole, strict=True) if not is_whole]
    levels = dict(enumerate(levels_up_from(lowest, len(kept)))) if kept else {}
    return _bodies(dict(enumerate(kept)), levels, spacing, len(vertebrae), fragments)


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


def _area(outline: Points) -> float:
    return float(cv2.contourArea(outline.astype(np.float32)))


def _bodies(
    outlines: Outlines,
    levels: Mapping[int, str],
    spacing: tuple[float, float],
    rows: int,
    fragments: Sequence[Mapping[int, Points]] = (),
) -> Bodies:
    """Vertebrae of outlines in stored pixels, and the outlines that are no whole bodies."""
    square = (min(spacing), min(spacing))
    bottom = (rows - 0.5) * spacing[0] / square[0]
    moved: Outlines = {
        value: {k: rescale_quads(outline, spacing, square) for k, outline in slices.items()}
        for value, slices in outlines.items()
    }
    rims = _rims(moved)
    values = sorted(moved, key=lambda value: -LEVEL_INDEX[levels[value]])
    centres = [np.mean([_centre(o) for o in moved[value].values()], axis=0) for value in values]
    made, doubtful = [], dict[int, list[Points]]()
    for fragment in fragments:
        for k, outline in fragment.items():
            doubtful.setdefault(k, []).append(rescale_quads(outline, spacing, square))
    for value, up in zip(values, ups(centres), strict=True):
        quads: dict[int, Points] = {}
        for k, outline in sorted(moved[value].items()):
            quad = None if (value, k) in rims or _is_cut(outline, bottom) else fitting_quad(outline, up)
            if quad is None:
                doubtful.setdefault(k, []).append(outline)
            else:
                quads[k] = quad
        if quads:
            made.append(Vertebra(tuple(quads), np.stack(list(quads.values())), levels[value]))
    return Bodies(tuple(made), {k: tuple(parts) for k, parts in doubtful.items()})


def fitting_quad(outline: Points, up: Points) -> Points | None:
    """The quad of an outline; None where the outline has no four corners.

    Raises
    ------
    ValueError
        The outline encloses nothing.
    """
    quad = quad_of(outline, up)
    body, around = shapely.make_valid(shapely.Polygon(outline)), shapely.Polygon(quad)
    shared = body.intersection(around).area
    edges = np.linalg.norm(quad - np.roll(quad, 1, axis=0), axis=1)
    tapers = [min(edges[i], edges[i + 2]) / max(edges[i], edges[i + 2]) for i in (0, 1)]
    fits = shared >= _LEAST_FIT * (body.area + around.area - shared)
    return quad if fits and min(tapers) >= _LEAST_TAPER else None


def _is_cut(outline: Points, bottom: float) -> bool:
    """Whether a body reaches the picture's first or last row, so that some of it may lie beyond."""
    low, high = outline[:, 1].min(), outline[:, 1].max()
    return bool(low < 0.5 or high > bottom - 1)


def _rims(outlines: Outlines) -> set[tuple[int, int]]:
    """(value, slice) of outlines that are small beside those of the same body, or of the others."""
    areas = {
        value: {k: _area(outline) for k, outline in slices.items()} for value, slices in outlines.items()
    }
    largest = {value: max(of.values()) for value, of in areas.items()}
    typical = float(np.median(list(largest.values()))) if largest else 0.0
    return {
        (value, k)
        for value, of in areas.items()
        for k, area in of.items()
        if area < max(_RIM_SHARE * largest[value], _TYPICAL_SHARE * typical)
    }


def check_column(vertebrae: Sequence[Vertebra], name: str) -> None:
    """Refuse vertebrae that are not in the order of their names from top to bottom.

    Raises
    ------
    LabelsError
        The file of this name has no vertebrae, or one in another's place.
    """
    if not vertebrae:
        raise LabelsError(f"in {name} no whole vertebral body is labelled")
    swapped = [
        (above.level, below.level)
        for above, below in pairwise(vertebrae)
        if above.mean_quad[:, 1].mean() >= below.mean_quad[:, 1].mean()
    ]
    if swapped and len(swapped) == len(vertebrae) - 1:
        raise LabelsError(f"{name} stands on its head: {swapped[0][0]} lies below {swapped[0][1]}, and so on")
    if swapped:
        raise LabelsError(f"in {name} {swapped[0][0]} lies below {swapped[0][1]}")
