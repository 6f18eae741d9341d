"""Files become one Scan: grouped by series, the usable sagittal one chosen, decoded and oriented."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
import numpy.typing as npt

from spinenet.errors import ScanError
from spinenet.readers.collected import Collected
from spinenet.readers.facts import FLAGS, known_uid, sequence_of
from spinenet.readers.frames import Frame, PixelFormat
from spinenet.readers.headers import read_frames
from spinenet.readers.limits import check_total
from spinenet.readers.orientation import reorient
from spinenet.readers.padding import without_padding
from spinenet.readers.part10 import as_part10
from spinenet.readers.pixels import check_format, stored_frames
from spinenet.readers.stacks import Stack, stack_frames
from spinenet.types import Scan

_LISTED = 8
"""Candidates that a message about several series names."""


@dataclass(frozen=True)
class Series:
    """One series of a path: a stack, or the reason why it is none.

    Attributes
    ----------
    uid
        SeriesInstanceUID; empty where absent.
    frames
        Its slices, those of no file twice; objects without an image only where there is nothing else.
    outcome
        The checked stack, or the error.
    """

    uid: str
    frames: tuple[Frame, ...]
    outcome: Stack | ScanError

    @property
    def label(self) -> str:
        """What a message calls it: contrast, known words of its description, size and UID."""
        first = self.frames[0]
        words = str(first.facts.get("description", ""))
        return series_label(sequence_of_frame(first), words, len(self.frames), self.uid)


def series_label(sequence: str, words: str, slices: int, uid: str) -> str:
    """What a message calls a series."""
    said = (sequence, words, f"{slices} slices")
    return f"{' '.join(part for part in said if part)}, UID {uid or 'absent'}"


def listed_labels(labels: Sequence[str]) -> str:
    """The first of several series that a message names, and how many more there are."""
    more = f" and {len(labels) - _LISTED} more" if len(labels) > _LISTED else ""
    return "; ".join(labels[:_LISTED]) + more


def read_dicom(
    files: Mapping[str, bytes],
    *,
    series_uid: str | None = None,
    overrides: Mapping[str, str] | None = None,
) -> Scan:
    """Read the named, or the only usable, series among the files.

    Parameters
    ----------
    files
        Bytes by name, of which those that are not DICOM are passed over.
    series_uid
        SeriesInstanceUID (0020,000E) to take.
    overrides
        Values that replace tags, by keyword.

    Raises
    ------
    ScanError
        Any of the reasons that a path's files can give.
    """
    frames, data, noted = _read_headers(files, overrides)
    every = group_series(frames, thickness_given="SliceThickness" in (overrides or {}))
    series, stack = choose_series(every, series_uid)
    volume, seen = _decode(stack, data)
    volume, affine = reorient(volume, stack.affine, stack.axes)
    noted |= seen | set(stack.flags)
    if any(frame.series_uid == series.uid and not frame.image for frame in frames):
        noted.add("objects_ignored")
    if len(every) > 1:
        noted.add("series_ignored")
    if overrides:
        noted.add("overridden")
    if any(frame.odd for frame in stack.frames):
        noted.add("header_warnings")
    row_mm, column_mm = (float(np.linalg.norm(affine[:3, axis])) for axis in (0, 1))
    return Scan(
        volume=volume,
        pixel_spacing=(row_mm, column_mm),
        slice_spacing=stack.slice_spacing,
        affine=affine,
        sequence=sequence_of_frame(stack.frames[0]),
        header={"series_uid": series.uid, **stack.frames[0].facts},
        flags=tuple(flag for flag in FLAGS if flag in noted),
        fingerprint=_fingerprint(stack.frames, overrides),
    )


def group_series(frames: Sequence[Frame], *, thickness_given: bool = False) -> tuple[Series, ...]:
    """Group frames by SeriesInstanceUID and check each group; no pixel is read.

    Parameters
    ----------
    frames
        In any order.
    thickness_given
        As for :func:`spinenet.readers.stacks.stack_frames`.

    Returns
    -------
    tuple of Series
        Those with most slices first.
    """
    by_uid: dict[str, list[Frame]] = {}
    for frame in frames:
        by_uid.setdefault(frame.series_uid, []).append(frame)
    every = []
    for uid, members in by_uid.items():
        # some archives file a presentation state within the series that it is of
        members = [frame for frame in members if frame.image] or members
        outcome: Stack | ScanError
        try:
            outcome = stack_frames(members, thickness_given=thickness_given)
            for pixels in dict.fromkeys(replace(frame.pixels, start=None, index=0) for frame in members):
                check_format(pixels)
        except ScanError as error:
            outcome = error
        every.append(Series(uid, tuple(members), outcome))
    return tuple(sorted(every, key=lambda series: (-len(series.frames), series.uid)))


def _read_headers(
    files: Mapping[str, bytes], overrides: Mapping[str, str] | None
) -> tuple[list[Frame], dict[str, bytes], set[str]]:
    """(frames of distinct files, their bytes, flags)."""
    collected = Collected()
    kept: dict[str, bytes] = {}
    size = 0
    for name in sorted(files):
        try:
            data = as_part10(files[name])
            found = () if data is None else read_frames(name, data, overrides)
        except ScanError as error:
            if error.reason != "unreadable":
                raise
            collected.lose(error)
            continue
        if collected.take(found) and data is not None:
            kept[name] = data
            # each file was within the limit, unpacked; so must they be together
            size += len(data)
            check_total(len(kept), size)
    return collected.required(), kept, collected.noted


def choose_series(every: Sequence[Series], series_uid: str | None) -> tuple[Series, Stack]:
    """The named, or the only usable, series.

    Raises
    ------
    ScanError
        series_missing, several_series, or the reason why none is usable.
    """
    if series_uid:
        named = [series for series in every if series.uid == series_uid]
        if not named:
            detail = (
                f"series {known_uid(series_uid) or 'named'} is not among the {len(every)} series of the path"
            )
            raise ScanError("series_missing", detail)
        (series,) = named
        if isinstance(series.outcome, ScanError):
            raise series.outcome
        return series, series.outcome
    usable = [(series, series.outcome) for series in every if isinstance(series.outcome, Stack)]
    # sagittal slices as acquired come before planes that could be cut from another volume
    usable = [(series, stack) for series, stack in usable if stack.axes.order[2] == 2] or usable
    if len(usable) > 1:
        listed = listed_labels([series.label for series, _ in usable])
        raise ScanError("several_series", f"name one of {len(usable)} usable series: {listed}")
    if usable:
        return usable[0]
    # the largest series is the likeliest to have been meant
    first = every[0].outcome
    assert isinstance(first, ScanError)
    if len(every) == 1:
        raise first
    counts = Counter(series.outcome.reason for series in every if isinstance(series.outcome, ScanError))
    summary = ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items()))
    raise ScanError(first.reason, f"{first.detail} (none of {len(every)} series is usable: {summary})")


def _decode(stack: Stack, data: Mapping[str, bytes]) -> tuple[npt.NDArray[np.float32], set[str]]:
    """((rows, columns, slices) as stored, flags)."""
    noted = {"lossy"} if stack.frames[0].pixels.lossy else set()
    by_file: dict[str, list[int]] = {}
    for place, frame in enumerate(stack.frames):
        by_file.setdefault(frame.name, []).append(place)
    volume: npt.NDArray[np.float32] | None = None
    padded: dict[int, npt.NDArray[np.bool_]] = {}
    for name, places in by_file.items():
        formats = [stack.frames[place].pixels for place in places]
        decoded = stored_frames(data[name], formats)
        for place, pixels, stored in zip(places, formats, decoded, strict=True):
            if stored.odd:
                noted.add("header_warnings")
            if stored.padded is not None:
                padded[place] = stored.padded
            plane = _rescaled(stored.values, pixels, noted)
            if volume is None:
                # not before the first slice, so that a header's claim alone allocates nothing
                volume = np.empty((len(stack.frames), *plane.shape), dtype=np.float32)
            volume[place] = plane
    assert volume is not None
    if padded:
        noted.add("padding_replaced")
        without_padding(volume, padded)
    return volume.transpose(1, 2, 0), noted


def _rescaled(
    stored: npt.NDArray[np.integer], pixels: PixelFormat, noted: set[str]
) -> npt.NDArray[np.floating]:
    """The values that stored pixels stand for; what was done to them is noted."""
    if pixels.photometric == "MONOCHROME1":
        noted.add("monochrome1")
        # the stored range turned round: its ends add up to 2^bits - 1, or to -1 if signed
        top = -1 if pixels.signed else (1 << (pixels.bits_stored or pixels.bits_allocated or 0)) - 1
        stored = top - stored.astype(np.int64)
    if not pixels.slope or pixels.intercept is None or not _fits(stored, pixels.slope, pixels.intercept):
        noted.add("rescale_ignored")
        return stored.astype(np.float32)
    if (pixels.slope, pixels.intercept) == (1.0, 0.0):
        return stored.astype(np.float32)
    return stored * pixels.slope + pixels.intercept


def _fits(stored: npt.NDArray[np.integer], slope: float, intercept: float) -> bool:
    """Whether the rescaled values are float32 numbers."""
    most = max(abs(int(stored.min())), abs(int(stored.max())))
    return bool(abs(slope) * most + abs(intercept) < np.finfo(np.float32).max)


def sequence_of_frame(frame: Frame) -> str:
    """ "T1", "T2", "STIR" or "other"; see :func:`spinenet.readers.facts.sequence_of`."""

    def time(name: str) -> float | None:
        value = frame.facts.get(name)
        return float(value) if value is not None else None

    scanning = str(frame.facts.get("scanning_sequence", "")).split()
    return sequence_of(
        time("echo_time"),
        time("repetition_time"),
        time("inversion_time"),
        inversion_recovery="IR" in scanning,
        gradient_echo="GR" in scanning,
        description=str(frame.facts.get("description", "")),
    )


def _fingerprint(frames: Sequence[Frame], overrides: Mapping[str, str] | None) -> str:
    """Digest of the files' digests, whatever their names and order, and of what replaced their tags."""
    parts = sorted({frame.digest for frame in frames})
    parts += [f"{tag}={value}" for tag, value in sorted((overrides or {}).items())]
    return sha256("\n".join(parts).encode()).hexdigest()
