"""Groups the quads of each slice into vertebrae across slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from spinenet.geometry import Points, iou
from spinenet.types import Vertebra

JOIN_IOU = 0.2
"""IoU with a vertebra's most recent quad above which a quad joins it (arXiv:2007.02606, detection)."""

MERGE_IOU = 0.05
"""IoU of two vertebrae's mean quads above which they are merged (arXiv:2007.02606, detection)."""


@dataclass
class _Track:
    """The quads of one vertebra while they are collected, with their slices."""

    slices: list[int] = field(default_factory=list)
    quads: list[Points] = field(default_factory=list)

    def mean(self) -> Points:
        mean: Points = np.mean(self.quads, axis=0)
        return mean


def group(quads_per_slice: Sequence[Points], *, remove_single_slice: bool = True) -> tuple[Vertebra, ...]:
    """Group the quads of all slices into vertebrae.

    Parameters
    ----------
    quads_per_slice
        One array (n, 4, 2) of corners (x, y) for each slice; n may be 0.
    remove_single_slice
        Whether to drop vertebrae with a single quad.

    Returns
    -------
    tuple of Vertebra
        Vertebrae without levels, cranial to caudal by their mean quads.
    """
    tracks = _follow(quads_per_slice)
    if remove_single_slice:
        tracks = [track for track in tracks if len(track.quads) > 1]
    tracks = sorted(_merge(tracks), key=lambda track: float(track.mean()[:, 1].mean()))
    return tuple(Vertebra(tuple(track.slices), np.array(track.quads)) for track in tracks)


def _follow(quads_per_slice: Sequence[Points]) -> list[_Track]:
    """Join each quad to the first track whose latest quad overlaps it, or start a track."""
    tracks: list[_Track] = []
    for index, quads in enumerate(quads_per_slice):
        for quad in np.asarray(quads, dtype=np.float64).reshape(-1, 4, 2):
            overlap = iou(quad, [track.quads[-1] for track in tracks]) if tracks else np.empty(0)
            overlapping = np.flatnonzero(overlap > JOIN_IOU)
            if not len(overlapping):
                tracks.append(_Track())
            track = tracks[overlapping[0] if len(overlapping) else -1]
            track.slices.append(index)
            track.quads.append(quad)
    return tracks


def _merge(tracks: Sequence[_Track]) -> list[_Track]:
    """Merge tracks of one vertebra: the later one takes the earlier's quads, the earlier is dropped."""
    means = [track.mean() for track in tracks]
    merged = set()
    for later in range(1, len(tracks)):
        for earlier in np.flatnonzero(iou(means[later], means[:later]) > MERGE_IOU).tolist():
            tracks[later].slices.extend(tracks[earlier].slices)
            tracks[later].quads.extend(tracks[earlier].quads)
            merged.add(earlier)
    return [track for i, track in enumerate(tracks) if i not in merged]
