"""From the quads of each slice to vertebrae across slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from spinenet.geometry import Points, iou
from spinenet.types import Vertebra

JOIN_IOU = 0.2
"""A quad joins a vertebra whose most recent quad overlaps it by more than this."""

MERGE_IOU = 0.05
"""Vertebrae whose mean quads overlap by more than this are one."""


@dataclass
class _Track:
    """A vertebra while its quads are being collected."""

    slices: list[int] = field(default_factory=list)
    quads: list[Points] = field(default_factory=list)

    def mean(self) -> Points:
        mean: Points = np.mean(self.quads, axis=0)
        return mean


def group(quads_per_slice: Sequence[Points], *, remove_single_slice: bool = True) -> tuple[Vertebra, ...]:
    """Collect the quads of all slices into vertebrae.

    Parameters
    ----------
    quads_per_slice
        For each slice (n, 4, 2) corners; n may be 0.
    remove_single_slice
        Drop vertebrae that were seen once only.

    Returns
    -------
    tuple of Vertebra
        Cranial to caudal by the mean quad; without levels.
    """
    tracks = _follow(quads_per_slice)
    if remove_single_slice:
        tracks = [track for track in tracks if len(track.quads) > 1]
    tracks = sorted(_merge(tracks), key=lambda track: float(track.mean()[:, 1].mean()))
    return tuple(Vertebra(tuple(track.slices), np.array(track.quads)) for track in tracks)


def _follow(quads_per_slice: Sequence[Points]) -> list[_Track]:
    tracks: list[_Track] = []
    for index, quads in enumerate(quads_per_slice):
        for quad in np.asarray(quads, dtype=np.float64).reshape(-1, 4, 2):
            overlap = iou(quad, [track.quads[-1] for track in tracks]) if tracks else np.empty(0)
            fitting = np.flatnonzero(overlap > JOIN_IOU)
            if not len(fitting):
                tracks.append(_Track())
            track = tracks[fitting[0] if len(fitting) else -1]
            track.slices.append(index)
            track.quads.append(quad)
    return tracks


def _merge(tracks: Sequence[_Track]) -> list[_Track]:
    """Join tracks of one vertebra: the later appends the earlier's current list and the earlier goes."""
    means = [track.mean() for track in tracks]
    swallowed = set()
    for later in range(1, len(tracks)):
        for earlier in np.flatnonzero(iou(means[later], means[:later]) > MERGE_IOU).tolist():
            tracks[later].slices.extend(tracks[earlier].slices)
            tracks[later].quads.extend(tracks[earlier].quads)
            swallowed.add(earlier)
    return [track for i, track in enumerate(tracks) if i not in swallowed]
