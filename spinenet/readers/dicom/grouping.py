"""Groups frames into series, each with a stack or the reason why it has none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from spinenet.errors import ScanError
from spinenet.printable import printable
from spinenet.readers.dicom.alternation import Glances, check_doubtful, is_doubtful
from spinenet.readers.dicom.contrasts import NO_ANATOMY
from spinenet.readers.dicom.copies import Files, slices_among, without_copies
from spinenet.readers.dicom.facts import sequence_of
from spinenet.readers.dicom.frames import Frame
from spinenet.readers.dicom.parting import (
    Part,
    by_contrast,
    by_geometry,
    by_number,
    by_person,
    by_place,
    by_time_point,
    digest_label,
    is_sound,
    number_label,
)
from spinenet.readers.dicom.pixels import check_format
from spinenet.readers.dicom.rejoined import FLAG, lone_parts, refusal
from spinenet.readers.dicom.stacks import MIN_SLICES, Stack, stack_frames

BEFORE_LABELS = "#"
"""Separator between a SeriesInstanceUID and the labels of one of the series that share it."""

BETWEEN_LABELS = "&"
"""Separator between labels."""

_LETTERS = 16
"""Hexadecimal digits of a slice's digest."""

_OF_SEVERAL_VOLUMES = frozenset({"duplicate_positions", "missing_slices", "mixed_geometry", "too_large"})
"""Reasons that a part gets which holds several volumes."""

_ODD_SHARE = 3
"""Least number of slices of a series for each image in another plane that is left out."""


@dataclass(frozen=True)
class Series:
    """One series of a path: a stack, or the reason why it has none.

    Attributes
    ----------
    uid
        SeriesInstanceUID as it stands; empty where absent.
    labels
        Labels ``name=value`` that distinguish it from other series with that UID.
    frames
        Its slices without copies; other objects only where there are no slices.
    outcome
        The checked stack, or the error.
    flags
        Codes of :data:`spinenet.readers.dicom.facts.FLAGS` for objects that were left out.
    """

    uid: str
    labels: tuple[str, ...]
    frames: tuple[Frame, ...]
    outcome: Stack | ScanError
    flags: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """Name for a manifest's ``series_uid``: the UID, with labels where other series share it."""
        labels = BETWEEN_LABELS.join(self.labels)
        return f"{self.uid}{BEFORE_LABELS}{labels}" if labels else self.uid

    @property
    def witnesses(self) -> tuple[tuple[str, Frame], ...]:
        """Two slices, with their digests, by which copies of the series are recognised, even incomplete ones.

        They are those with the smallest digests of SeriesInstanceUID and SOPInstanceUID (0008,0018), and of
        the place too where not each slice has an SOPInstanceUID of its own.
        """
        several = len({frame.instance_uid for frame in self.frames}) < len(self.frames)
        digests = []
        for frame in self.frames:
            identity = [
                frame.series_uid,
                frame.instance_uid,
                frame.pixels.index if frame.described > 1 else 0,
            ]
            identity += [frame.position, frame.number] if several else []
            digests.append((sha256(repr(identity).encode()).hexdigest()[:_LETTERS], frame))
        return tuple(sorted(digests, key=lambda pair: pair[0])[:2])

    @property
    def label(self) -> str:
        """Description for messages: contrast, known words of the series description, size and name."""
        first = self.frames[0]
        words = str(first.facts.get("description", ""))
        return series_label(sequence_of_frame(first), words, len(self.frames), self.name)


def series_label(sequence: str, words: str, slices: int, name: str) -> str:
    """Describe a series for messages."""
    parts = (sequence, words, f"{slices} slices")
    shown = printable(name)
    return f"{' '.join(part for part in parts if part)}, UID {shown or 'absent'}"


def sequence_of_frame(frame: Frame) -> str:
    """One of "T1", "T2", "STIR" and "other"; see :func:`spinenet.readers.dicom.facts.sequence_of`."""
    if NO_ANATOMY & set(frame.contrast.image_type.split("+")):
        return "other"
    scanning = str(frame.facts.get("scanning_sequence", "")).split()
    return sequence_of(
        frame.contrast.echo_time,
        frame.contrast.repetition_time,
        frame.contrast.inversion_time,
        inversion_recovery="IR" in scanning,
        gradient_echo="GR" in scanning,
        description=str(frame.facts.get("description", "")),
    )


def group_series(
    frames: Sequence[Frame],
    files: Files,
    *,
    thickness_given: bool = False,
    glances: Glances | None = None,
) -> tuple[Series, ...]:
    """Group frames by SeriesInstanceUID, split groups that hold several series, and check each series.

    Parameters
    ----------
    frames
        Frames in any order.
    files
        Function that reads whole files, for comparing pixels where headers leave a question open.
    thickness_given
        As for :func:`spinenet.readers.dicom.stacks.stack_frames`.
    glances
        Cheap access to parts of the pixels, where not all of them are read and checked later.

    Returns
    -------
    tuple of Series
        Series, those with most slices first.
    """
    by_uid: dict[str, list[Frame]] = {}
    for frame in frames:
        by_uid.setdefault(frame.series_uid, []).append(frame)
    grouping = _Grouping(files, thickness_given, glances)
    all_series = []
    joined = set()
    for part in lone_parts(by_uid):
        all_series += grouping.rejoined(part)
        joined |= {frame.series_uid for frame in part.frames}
    for uid, members in by_uid.items():
        if uid in joined:
            continue
        series_list = _distinct(grouping.series_of(uid, members))
        if not uid and len(by_uid) > 1:
            series_list = [_named(series) for series in series_list]
        all_series += series_list
    return tuple(sorted(all_series, key=lambda series: (-len(series.frames), series.name)))


def _named(series: Series) -> Series:
    """Label a series without UID, so that a manifest can name it among others."""
    first = series.frames[0]
    number = (number_label(first),) if first.series_number else ()
    return replace(series, labels=series.labels or number or (digest_label(series.frames),))


def _distinct(every: list[Series]) -> list[Series]:
    """The series of one UID, with labels added until their names differ."""
    counts = Counter(series.name for series in every)
    return [
        series
        if counts[series.name] == 1
        else replace(series, labels=(*series.labels, digest_label(series.frames)))
        for series in every
    ]


@dataclass(frozen=True)
class _Grouping:
    files: Files
    thickness_given: bool
    glances: Glances | None

    def series_of(self, uid: str, frames: Sequence[Frame]) -> list[Series]:
        """The series that share a UID."""
        sound = is_sound(uid)
        parts = [part for person in by_person(frames) for part in by_number(person, sound)]
        return [series for part in parts for series in self._series_of_number(uid, part, sound)]

    def rejoined(self, part: Part) -> list[Series]:
        """The series joined from slices that have a UID each; it gets the smallest of these UIDs."""
        joined = []
        for series in self._series_of_number("", part, sound=True):
            outcome = series.outcome
            usable = isinstance(outcome, Stack)
            refused = refusal(
                outcome.frames if isinstance(outcome, Stack) else series.frames,
                None if isinstance(outcome, Stack) else outcome,
            )
            uid = min(frame.series_uid for frame in series.frames)
            flags = series.flags | ({FLAG} if usable else set())
            joined.append(replace(series, uid=uid, labels=(), outcome=refused or outcome, flags=flags))
        return joined

    def _series_of_number(self, uid: str, part: Part, sound: bool) -> list[Series]:
        slices = slices_among(part.frames)
        flags = frozenset({"objects_ignored"} if len(slices) < len(part.frames) else ())
        try:
            distinct = without_copies(slices, self.files)
        except ScanError as error:
            return [Series(uid, part.labels, slices, error.to_keep(), flags)]
        if len(distinct) < len(slices):
            flags |= {"duplicate_files"}
        all_series = []
        for contrast in by_contrast(Part(distinct, part.labels)):
            for smaller, outcome, more in self._stacks(contrast, sound):
                all_series.append(Series(uid, smaller.labels, smaller.frames, outcome, flags | more))
        return all_series

    def _stacks(self, part: Part, sound: bool) -> list[tuple[Part, Stack | ScanError, frozenset[str]]]:
        """(part, outcome, flags) of the volumes that frames of one contrast make."""
        parts = [part] if sound else by_time_point(part)
        if len(parts) > 1:
            return [stack for smaller in parts for stack in self._stacks(smaller, sound=True)]
        outcome = self._outcome(part)
        if isinstance(outcome, Stack):
            return [(part, outcome, frozenset())]
        nothing: frozenset[str] = frozenset()
        by_plane = by_geometry(part)
        if len(by_plane) > 1 and not any("localizer" in frame.marks for frame in part.frames):
            stacks = [stack for plane in by_plane for stack in self._stacks(plane, sound=True)]
            usable = [triple for triple in stacks if isinstance(triple[1], Stack)]
            others = [triple for triple in stacks if not isinstance(triple[1], Stack)]
            if usable and (not sound or (outcome.reason == "mixed_geometry" and not _all_small(others))):
                return stacks
            if len(usable) == 1 and _are_odd(others, usable[0][0]):
                single, stack, _ = usable[0]
                return [(Part(single.frames, part.labels), stack, frozenset({"objects_ignored"}))]
            return [(part, outcome, nothing)]
        at_places = by_place(part) if outcome.reason in _OF_SEVERAL_VOLUMES else [part]
        if len(at_places) > 1:
            return [(smaller, self._outcome(smaller), nothing) for smaller in at_places]
        return [(part, outcome, nothing)]

    def _outcome(self, part: Part) -> Stack | ScanError:
        try:
            stack = stack_frames(part.frames, thickness_given=self.thickness_given)
            for pixels in dict.fromkeys(replace(frame.pixels, start=None, index=0) for frame in part.frames):
                check_format(pixels)
            if is_doubtful(stack.frames) or (self.glances and self.glances.show_turns(stack.frames)):
                check_doubtful(stack.frames, self.files)
        except ScanError as error:
            return error.to_keep()
        return stack


def _all_small(others: Sequence[tuple[Part, Stack | ScanError, frozenset[str]]]) -> bool:
    return bool(others) and all(len(part.frames) < MIN_SLICES for part, _, _ in others)


def _are_odd(others: Sequence[tuple[Part, Stack | ScanError, frozenset[str]]], usable: Part) -> bool:
    """Whether parts are few extra images of a series, such as its slice positions drawn on another plane."""
    few = sum(len(part.frames) for part, _, _ in others)
    return _all_small(others) and few * _ODD_SHARE <= len(usable.frames)
