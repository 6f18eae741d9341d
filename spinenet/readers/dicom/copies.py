"""Objects of a series that are no slice of it: copies of a slice, and pictures beside the slices."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from spinenet.errors import ScanError
from spinenet.readers.dicom.frames import Frame
from spinenet.readers.dicom.pixels import check_format, stored_frames

Files = Callable[[Collection[str]], Iterable[tuple[str, bytes]]]
"""Gives the whole of the named files, in any order, as
:func:`spinenet.readers.sources.part10.as_part10` does."""


def slices_among(frames: Sequence[Frame]) -> tuple[Frame, ...]:
    """The frames without those that are no slices: reports, screen saves, colour pictures, pictures nowhere.

    Where nothing else is there, these are what the series is, and all are given back.
    """
    images = [frame for frame in frames if frame.image] or list(frames)
    return tuple(frame for frame in images if not _is_picture(frame)) or tuple(images)


def _is_picture(frame: Frame) -> bool:
    nowhere = frame.position is None or frame.orientation is None
    return "capture" in frame.marks or frame.pixels.in_colour or (nowhere and "derived" in frame.marks)


def without_copies(frames: Sequence[Frame], files: Files) -> tuple[Frame, ...]:
    """The frames, those of one place, contrast and picture once: others may have edited a copy's header.

    Parameters
    ----------
    files
        Asked for frames that share a place and a contrast alone.

    Raises
    ------
    ScanError
        conflicting_copies, if files of one SOPInstanceUID (0008,0018) and place differ in their pixels.
    """
    alike = defaultdict(list)
    for frame in frames:
        if frame.position is not None:
            alike[_place(frame)].append(frame)
    suspects = [frame for several in alike.values() if len(several) > 1 for frame in several]
    if not suspects:
        return tuple(frames)
    pictures = _pictures(suspects, files)
    dropped: set[tuple[str, int]] = set()
    for several in alike.values():
        seen: set[str] = set()
        instances: dict[str, str] = {}
        for frame in several:
            picture = pictures.get(_key(frame))
            if picture is None:
                continue
            if picture in seen:
                dropped.add(_key(frame))
            elif frame.instance_uid and frame.instance_uid in instances and frame.described == 1:
                raise ScanError(
                    "conflicting_copies",
                    "files of one instance and one place differ in their pixels; keep the right one of each",
                )
            seen.add(picture)
            instances[frame.instance_uid] = picture
    return tuple(frame for frame in frames if _key(frame) not in dropped)


def _key(frame: Frame) -> tuple[str, int]:
    return frame.name, frame.pixels.index


def _place(frame: Frame) -> tuple[object, ...]:
    position = tuple(round(value, 2) for value in frame.position or ())
    # an edited header may say the same in other words
    contrast = replace(frame.contrast, filters="", acquisition=None)
    return position, frame.orientation, frame.pixels.rows, frame.pixels.columns, contrast


def _pictures(frames: Iterable[Frame], files: Files) -> dict[tuple[str, int], str]:
    """Digest of each frame's decoded pixels; none where they cannot be decoded."""
    by_file: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        by_file[frame.name].append(frame)
    found: dict[tuple[str, int], str] = {}
    for name, data in files(by_file):
        try:
            for frame in by_file[name]:
                check_format(frame.pixels)
            decoded = stored_frames(data, [frame.pixels for frame in by_file[name]])
            for frame, stored in zip(by_file[name], decoded, strict=True):
                found[_key(frame)] = hashlib.sha256(stored.values.astype("<i8").tobytes()).hexdigest()
        except ScanError:
            # whoever reads the series says what is wrong with its pixels
            continue
    return found
