"""Rejoins the slices of a series to each of which a broken export gave its own SeriesInstanceUID."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

from spinenet.errors import ScanError
from spinenet.readers.dicom.frames import Frame
from spinenet.readers.dicom.parting import Part, by_contrast, by_geometry
from spinenet.readers.dicom.stacks import MIN_SLICES
from spinenet.readers.space.orientation import plane_of

FLAG = "uid_per_file"
"""Flag of a rejoined series, and reason of one that could not be rejoined."""

_IRREGULAR = frozenset({"missing_slices", "duplicate_positions", "mixed_geometry", "too_few_slices"})
"""Reasons that show that the slices do not belong together."""


def lone_parts(by_uid: Mapping[str, Sequence[Frame]]) -> list[Part]:
    """Groups of three or more slices that differ in nothing but their UIDs.

    They agree in study, patient, SeriesNumber (0020,0011), what they show, size, spacing, orientation and
    contrast. Those of several acquisitions are several parts.

    Parameters
    ----------
    by_uid
        All frames of a path by their SeriesInstanceUID; only UIDs of a single place count.
    """
    alike: dict[tuple[object, ...], list[Frame]] = defaultdict(list)
    for uid, frames in by_uid.items():
        if uid and _is_lone(frames):
            alike[_key(frames[0])] += frames
    parts: list[Part] = []
    for frames in alike.values():
        if _n_uids(frames) < MIN_SLICES or _is_localizer(frames):
            continue
        for plane in by_geometry(Part(tuple(frames))):
            for contrast in by_contrast(plane):
                parts += _acquisitions(contrast.frames)
    return [part for part in parts if _n_uids(part.frames) >= MIN_SLICES]


def _is_lone(frames: Sequence[Frame]) -> bool:
    """Whether the frames are one slice, or copies of it, that states where it lies and what it belongs to."""
    first = frames[0]
    return bool(
        first.position
        and first.orientation
        and first.spacing
        and first.study_uid
        and first.series_number
        and all(frame.image and frame.described == 1 and frame.position == first.position for frame in frames)
    )


def _key(frame: Frame) -> tuple[object, ...]:
    shown = frame.facts.get("description"), frame.contrast.b_value, frame.contrast.echo_number
    return (frame.study_uid, frame.patient, frame.series_number, frame.modality, *shown)


def _n_uids(frames: Sequence[Frame]) -> int:
    return len({frame.series_uid for frame in frames})


def _is_localizer(frames: Sequence[Frame]) -> bool:
    planes = {plane_of(frame.orientation) for frame in frames if frame.orientation}
    return len(planes) > 1 and any("localizer" in frame.marks for frame in frames)


def _acquisitions(frames: Sequence[Frame]) -> Iterator[Part]:
    """Parts by AcquisitionNumber (0020,0012), unless one series was acquired in several passes.

    The slices of such passes lie in turn and are numbered along their places; or each slice has a number
    of its own.
    """
    groups: dict[float | None, list[Frame]] = defaultdict(list)
    for frame in frames:
        groups[frame.contrast.acquisition].append(frame)
    ordered = _along(frames)
    turns = sum(a.contrast.acquisition != b.contrast.acquisition for a, b in pairwise(ordered))
    in_turn = turns >= len(groups) and _numbered_along(ordered)
    if len(groups) == 1 or len(groups) == len(frames) or in_turn:
        yield Part(tuple(frames))
    else:
        yield from (Part(tuple(group)) for group in groups.values())


def _along(frames: Sequence[Frame]) -> list[Frame]:
    """The frames in spatial order; all have one orientation."""
    normal = np.cross(*np.array(frames[0].orientation).reshape(2, 3))
    return sorted(frames, key=lambda frame: float(np.array(frame.position) @ normal))


def _numbered_along(ordered: Sequence[Frame]) -> bool:
    """Whether InstanceNumber (0020,0013) grows, or falls, from slice to slice; or is nowhere stated."""
    numbers = [frame.number for frame in ordered]
    if all(number is None for number in numbers):
        return True
    if any(number is None for number in numbers):
        return False
    steps = np.diff(np.array(numbers, dtype=np.float64))
    return bool((steps > 0).all() or (steps < 0).all())


def refusal(frames: Sequence[Frame], error: ScanError | None) -> ScanError | None:
    """Why slices with a UID each are not taken for one series; None where they are.

    Parameters
    ----------
    frames
        Frames of the stack in spatial order, or of the series without one.
    error
        Reason why there is no stack; None if there is one.
    """
    if error is not None and error.reason not in _IRREGULAR:
        return error
    cause = error.detail if error is not None else ""
    if error is None:
        if _numbered_along(frames):
            return None
        cause = "their InstanceNumbers do not run with their places, as those of two acquisitions do not"
    subject = (
        f"{_n_uids(frames)} slices agree in study and series number, and each has a SeriesInstanceUID of its"
    )
    return ScanError(FLAG, f"{subject} own; they were not joined: {cause}")
