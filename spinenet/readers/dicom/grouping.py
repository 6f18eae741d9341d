"""Frames become series, each a stack or the reason why it is none."""

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
"""What stands between a SeriesInstanceUID and the labels of a part of what has it."""

BETWEEN_LABELS = "&"

_LETTERS = 16
"""Of a slice's digest."""

_OF_SEVERAL_VOLUMES = frozenset({"duplicate_positions", "missing_slices", "mixed_geometry", "too_large"})
"""What is said of a part that holds several volumes."""

_ODD_SHARE = 3
"""A series has at least so many slices for each that lies in another plane, and is left out."""


@dataclass(frozen=True)
class Series:
    """One series of a path: a stack, or the reason why it is none.

    Attributes
    ----------
    uid
        SeriesInstanceUID as it stands; empty where absent.
    labels
        What tells it from other series with that UID, as ``name=value``.
    frames
        Its slices, each once; objects that are no slices only where there is nothing else.
    outcome
        The checked stack, or the error.
    flags
        Codes of :data:`spinenet.readers.dicom.facts.FLAGS`: what was left out.
    """

    uid: str
    labels: tuple[str, ...]
    frames: tuple[Frame, ...]
    outcome: Stack | ScanError
    flags: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """What a manifest's ``series_uid`` finds it by: the UID, and the labels where others share it."""
        labels = BETWEEN_LABELS.join(self.labels)
        return f"{self.uid}{BEFORE_LABELS}{labels}" if labels else self.uid

    @property
    def witnesses(self) -> tuple[tuple[str, Frame], ...]:
        """Two of its slices by which copies of the series are known, also one that lacks a slice.

        They are those with the smallest digests of SeriesInstanceUID and SOPInstanceUID (0008,0018), and of
        the place too where not each slice has an SOPInstanceUID of its own.
        """
        several = len({frame.instance_uid for frame in self.frames}) < len(self.frames)
        found = []
        for frame in self.frames:
            told = [frame.series_uid, frame.instance_uid, frame.pixels.index if frame.described > 1 else 0]
            told += [frame.position, frame.number] if several else []
            found.append((sha256(repr(told).encode()).hexdigest()[:_LETTERS], frame))
        return tuple(sorted(found, key=lambda pair: pair[0])[:2])

    @property
    def label(self) -> str:
        """What a message calls it: contrast, known words of its description, size and name."""
        first = self.frames[0]
        words = str(first.facts.get("description", ""))
        return series_label(sequence_of_frame(first), words, len(self.frames), self.name)


def series_label(sequence: str, words: str, slices: int, name: str) -> str:
    """What a message calls a series."""
    said = (sequence, words, f"{slices} slices")
    told = printable(name)
    return f"{' '.join(part for part in said if part)}, UID {told or 'absent'}"


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
    """Group frames by SeriesInstanceUID, part what shares one, and check each series.

    Parameters
    ----------
    frames
        In any order.
    files
        Gives whole files, of which pixels are compared where headers leave open what a file is.
    thickness_given
        As for :func:`spinenet.readers.dicom.stacks.stack_frames`.
    glances
        Give a little of slices' pixels, where these are not all read and checked in the end.

    Returns
    -------
    tuple of Series
        Those with most slices first.
    """
    by_uid: dict[str, list[Frame]] = {}
    for frame in frames:
        by_uid.setdefault(frame.series_uid, []).append(frame)
    grouping = _Grouping(files, thickness_given, glances)
    every = []
    joined = set()
    for part in lone_parts(by_uid):
        every += grouping.rejoined(part)
        joined |= {frame.series_uid for frame in part.frames}
    for uid, members in by_uid.items():
        if uid in joined:
            continue
        found = _distinct(grouping.series_of(uid, members))
        if not uid and len(by_uid) > 1:
            found = [_named(series) for series in found]
        every += found
    return tuple(sorted(every, key=lambda series: (-len(series.frames), series.name)))


def _named(series: Series) -> Series:
    """A series without UID that a manifest can find among others."""
    first = series.frames[0]
    number = (number_label(first),) if first.series_number else ()
    return replace(series, labels=series.labels or number or (digest_label(series.frames),))


def _distinct(every: list[Series]) -> list[Series]:
    """The series of one UID, each with a name of its own."""
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
        return [series for part in parts for series in self._of_number(uid, part, sound)]

    def rejoined(self, part: Part) -> list[Series]:
        """The series of slices that have a UID each; it has the first of them."""
        found = []
        for series in self._of_number("", part, sound=True):
            outcome = series.outcome
            usable = isinstance(outcome, Stack)
            refused = refusal(
                outcome.frames if isinstance(outcome, Stack) else series.frames,
                None if isinstance(outcome, Stack) else outcome,
            )
            uid = min(frame.series_uid for frame in series.frames)
            flags = series.flags | ({FLAG} if usable else set())
            found.append(replace(series, uid=uid, labels=(), outcome=refused or outcome, flags=flags))
        return found

    def _of_number(self, uid: str, part: Part, sound: bool) -> list[Series]:
        slices = slices_among(part.frames)
        flags = frozenset({"objects_ignored"} if len(slices) < len(part.frames) else ())
        try:
            once = without_copies(slices, self.files)
        except ScanError as error:
            return [Series(uid, part.labels, slices, error, flags)]
        if len(once) < len(slices):
            flags |= {"duplicate_files"}
        found = []
        for contrast in by_contrast(Part(once, part.labels)):
            for smaller, outcome, more in self._stacks(contrast, sound):
                found.append(Series(uid, smaller.labels, smaller.frames, outcome, flags | more))
        return found

    def _stacks(self, part: Part, sound: bool) -> list[tuple[Part, Stack | ScanError, frozenset[str]]]:
        """(part, outcome, flags) of the volumes that frames of one contrast make."""
        parts = [part] if sound else by_time_point(part)
        if len(parts) > 1:
            return [found for one in parts for found in self._stacks(one, sound=True)]
        outcome = self._outcome(part)
        if isinstance(outcome, Stack):
            return [(part, outcome, frozenset())]
        nothing: frozenset[str] = frozenset()
        by_plane = by_geometry(part)
        if len(by_plane) > 1 and not any("localizer" in frame.marks for frame in part.frames):
            stacks = [found for one in by_plane for found in self._stacks(one, sound=True)]
            usable = [found for found in stacks if isinstance(found[1], Stack)]
            others = [found for found in stacks if not isinstance(found[1], Stack)]
            if usable and (not sound or (outcome.reason == "mixed_geometry" and not _all_small(others))):
                return stacks
            if len(usable) == 1 and _are_odd(others, usable[0][0]):
                single, stack, _ = usable[0]
                return [(Part(single.frames, part.labels), stack, frozenset({"objects_ignored"}))]
            return [(part, outcome, nothing)]
        at_places = by_place(part) if outcome.reason in _OF_SEVERAL_VOLUMES else [part]
        if len(at_places) > 1:
            return [(one, self._outcome(one), nothing) for one in at_places]
        return [(part, outcome, nothing)]

    def _outcome(self, part: Part) -> Stack | ScanError:
        try:
            stack = stack_frames(part.frames, thickness_given=self.thickness_given)
            for pixels in dict.fromkeys(replace(frame.pixels, start=None, index=0) for frame in part.frames):
                check_format(pixels)
            if is_doubtful(stack.frames) or (self.glances and self.glances.show_turns(stack.frames)):
                check_doubtful(stack.frames, self.files)
        except ScanError as error:
            return error
        return stack


def _all_small(others: Sequence[tuple[Part, Stack | ScanError, frozenset[str]]]) -> bool:
    return bool(others) and all(len(part.frames) < MIN_SLICES for part, _, _ in others)


def _are_odd(others: Sequence[tuple[Part, Stack | ScanError, frozenset[str]]], usable: Part) -> bool:
    """Whether parts are odd pictures beside a series, such as the lines of its slices on another plane."""
    few = sum(len(part.frames) for part, _, _ in others)
    return _all_small(others) and few * _ODD_SHARE <= len(usable.frames)
