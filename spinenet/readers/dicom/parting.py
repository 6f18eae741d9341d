"""Splits frames that share a SeriesInstanceUID into series, as several may share a lost or invalid UID.

Each function returns two or more parts with labels that name them, or the given part alone.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from types import MappingProxyType

import numpy as np

from spinenet.readers.dicom.frames import Frame
from spinenet.readers.dicom.stacks import MIN_SLICES, SAME_POSITION_MM, SPACING_TOLERANCE
from spinenet.readers.space.orientation import plane_of

_SOUND = re.compile(r"[0-9]+(\.[0-9]+)+")
_LONGEST_UID = 64

ECHO, IMAGE_TYPE, TIME = "echo_time", "image_type", "temporal_position"
"""Names of labels that distinguish images of one place."""

_TOLERANCES = MappingProxyType(
    {ECHO: (1.25, 1.0), "repetition_time": (1.25, 10.0), "inversion_time": (1.2, 10.0)}
)
"""(factor, ms) by which a time may exceed another one within a contrast: scanners round times, and vary them
from slice to slice."""

_APART = (
    ECHO,
    "echo_number",
    IMAGE_TYPE,
    TIME,
    "inversion_time",
    "b_value",
    "repetition_time",
    "flip_angle",
    "acquisition",
    "filters",
)
"""Fields of a contrast that may distinguish images of one place, those best known to users first."""


@dataclass(frozen=True)
class Part:
    """Frames that belong together.

    Attributes
    ----------
    frames
        The frames.
    labels
        Labels ``name=value`` that distinguish them from other frames of the same UID.
    """

    frames: tuple[Frame, ...]
    labels: tuple[str, ...] = ()


def is_sound(uid: str) -> bool:
    """Whether a UID has a valid form (PS3.5 9.1), unlike the inventions of some anonymisers."""
    return len(uid) <= _LONGEST_UID and _SOUND.fullmatch(uid) is not None


def digest_label(frames: Sequence[Frame]) -> str:
    """A label unique to these slices, for series that no tag distinguishes."""
    identities = sorted(f"{frame.instance_uid} {frame.position} {frame.number}" for frame in frames)
    return f"slices={sha256(repr(identities).encode()).hexdigest()[:12]}"


def by_person(frames: Sequence[Frame]) -> list[Part]:
    """Parts by study and patient; a frame without either goes with the others if these are of one only."""
    parts = []
    for study in _stated(frames, lambda frame: frame.study_uid):
        parts += _stated(study, lambda frame: frame.patient)
    if len(parts) == 1:
        return [Part(parts[0])]
    return [Part(part, (digest_label(part),)) for part in parts]


def by_number(part: Part, sound: bool) -> list[Part]:
    """Parts by SeriesNumber, unless nearly each slice of a sound UID has one of its own."""
    parts = _stated(part.frames, lambda frame: frame.series_number)
    if len(parts) == 1 or (sound and len(parts) > len(part.frames) / MIN_SLICES):
        return [part]
    return [Part(frames, (*part.labels, number_label(frames[0]))) for frames in parts]


def number_label(frame: Frame) -> str:
    """The label of a SeriesNumber (0020,0011); a digest if it is no number, as it may then name a person."""
    number = frame.series_number
    return _label("series_number", number if number.isdecimal() else sha256(number.encode()).hexdigest()[:8])


def by_contrast(part: Part) -> list[Part]:
    """Parts whose times, sequences or image types differ by more than scanners vary them within a series."""
    parts = [part]
    for name in _TOLERANCES:
        parts = [smaller for larger in parts for smaller in _by_time(larger, name)]
    for name in ("scanning", IMAGE_TYPE):
        parts = [smaller for larger in parts for smaller in _by_text(larger, name)]
    if any(frame.contrast.echo_time is None for frame in part.frames):
        parts = [smaller for larger in parts for smaller in _by_text(larger, "echo_number")]
    return parts


def _by_time(part: Part, name: str) -> list[Part]:
    factor, more = _TOLERANCES[name]
    values = sorted({value for frame in part.frames if (value := getattr(frame.contrast, name)) is not None})
    starts = values[:1] + [high for low, high in pairwise(values) if high > low * factor + more]
    if len(starts) < 2:
        return [part]

    def group(frame: Frame) -> float | None:
        value = getattr(frame.contrast, name)
        return None if value is None else max(start for start in starts if start <= value)

    return _labelled(part, name, group)


def _by_text(part: Part, name: str) -> list[Part]:
    """Parts by a field; what does not state it goes with the others if these are of one kind."""
    stated = {getattr(frame.contrast, name) for frame in part.frames} - {"", None}
    # frames without image type form a part of their own
    if len(stated) + (name == IMAGE_TYPE and len(stated) > 0) < 2:
        return [part]
    return _labelled(part, name, lambda frame: getattr(frame.contrast, name))


def by_time_point(part: Part) -> list[Part]:
    """Parts by temporal position, if each has enough slices for a volume."""
    counts = Counter(frame.contrast.temporal_position for frame in part.frames)
    if len(counts) < 2 or min(counts.values()) < MIN_SLICES:
        return [part]
    return _labelled(part, TIME, lambda frame: frame.contrast.temporal_position)


def by_geometry(part: Part) -> list[Part]:
    """Parts by size, spacing and orientation of their images."""
    parts: list[list[Frame]] = []
    for frame in part.frames:
        same = next((members for members in parts if _same_geometry(members[0], frame)), None)
        if same is None:
            parts.append([frame])
        else:
            same.append(frame)
    if len(parts) == 1:
        return [part]
    return [Part(tuple(frames), (*part.labels, *_geometry_labels(frames, parts))) for frames in parts]


def _same_geometry(one: Frame, other: Frame) -> bool:
    pairs = ((one.spacing, other.spacing), (one.orientation, other.orientation))
    if any((a is None) != (b is None) for a, b in pairs):
        return False
    sizes = [(frame.pixels.rows, frame.pixels.columns) for frame in (one, other)]
    return (
        sizes[0] == sizes[1]
        and np.allclose(one.spacing or (), other.spacing or (), rtol=SPACING_TOLERANCE)
        and np.allclose(one.orientation or (), other.orientation or (), atol=SPACING_TOLERANCE)
    )


def _geometry_labels(frames: Sequence[Frame], parts: Sequence[Sequence[Frame]]) -> tuple[str, ...]:
    """The plane and the size, if no other part has the same; else a digest."""

    def plane_and_size(members: Sequence[Frame]) -> tuple[str, ...]:
        first = members[0]
        plane = plane_of(first.orientation) if first.orientation else "none"
        return f"plane={plane}", f"size={first.pixels.rows}x{first.pixels.columns}"

    plane, size = plane_and_size(frames)
    others = [plane_and_size(other) for other in parts if other[0] is not frames[0]]
    if plane not in [other[0] for other in others]:
        return (plane,)
    return (plane, size) if (plane, size) not in others else (digest_label(frames),)


def by_place(part: Part) -> list[Part]:
    """Parts of a series with several images at one place, by the tags that distinguish these."""
    most = _most_at_one_place(part.frames)
    if most < 2:
        return [part]
    candidates = []
    for name in _APART:
        groups = _groups(part.frames, lambda frame, name=name: getattr(frame.contrast, name))  # type: ignore[misc]
        # a tag with more values than images of one place varies from slice to slice
        if 2 <= len(groups) <= most:
            left = max(_most_at_one_place(frames) for frames in groups.values())
            if left < most:
                candidates.append((left, name, groups))
    if not candidates:
        return [part]
    # one tag that separates all images is preferred to two
    _, name, groups = min(candidates, key=lambda candidate: candidate[0] > 1)
    parts = [Part(frames, (*part.labels, _label(name, value))) for value, frames in groups.items()]
    return [smaller for larger in parts for smaller in by_place(larger)]


def _most_at_one_place(frames: Sequence[Frame]) -> int:
    positions = np.array([frame.position for frame in frames if frame.position is not None])
    orientation = next((frame.orientation for frame in frames if frame.orientation), None)
    if not len(positions) or orientation is None:
        return 1
    normal = np.cross(*np.array(orientation).reshape(2, 3))
    along = np.sort(positions @ normal)
    most = run = 1
    for gap in np.diff(along):
        run = run + 1 if gap < SAME_POSITION_MM else 1
        most = max(most, run)
    return most


def _stated(frames: Sequence[Frame], value_of: Callable[[Frame], str]) -> list[tuple[Frame, ...]]:
    """Frames by a value; those without go with the others if these have one only."""
    groups = _groups(frames, value_of)
    return [tuple(frames)] if len(set(groups) - {""}) < 2 else list(groups.values())


def _groups(
    frames: Sequence[Frame], value_of: Callable[[Frame], Hashable]
) -> dict[Hashable, tuple[Frame, ...]]:
    groups: dict[Hashable, list[Frame]] = defaultdict(list)
    for frame in frames:
        groups[value_of(frame)].append(frame)
    return {value: tuple(members) for value, members in groups.items()}


def _labelled(part: Part, name: str, value_of: Callable[[Frame], Hashable]) -> list[Part]:
    groups = _groups(part.frames, value_of)
    return [Part(frames, (*part.labels, _label(name, value))) for value, frames in groups.items()]


def _label(name: str, value: Hashable) -> str:
    shown = f"{value:g}" if isinstance(value, float) else str(value or "none")
    return f"{name}={shown.replace(' ', '+')}"
