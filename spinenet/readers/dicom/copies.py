"""Drops objects of a series that are no slices of it: copies, reports and pictures beside the slices."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from spinenet.errors import ScanError
from spinenet.readers.dicom.frames import Frame
from spinenet.readers.dicom.pixels import check_format, stored_frames

Files = Callable[[Collection[str]], Iterable[tuple[str, bytes]]]
"""Function that reads the named files whole, in any order, in the form of
:func:`spinenet.readers.sources.part10.as_part10`."""


def slices_among(frames: Sequence[Frame]) -> tuple[Frame, ...]:
    """The frames that may be slices: no reports, screen saves, colour pictures or images without a place.

    Where nothing else is left, all images (or all frames) are returned.
    """
    images = [frame for frame in frames if frame.image] or list(frames)
    return tuple(frame for frame in images if not _is_picture(frame)) or tuple(images)


def _is_picture(frame: Frame) -> bool:
    nowhere = frame.position is None or frame.orientation is None
    return "capture" in frame.marks or frame.pixels.in_colour or (nowhere and "derived" in frame.marks)


def without_copies(frames: Sequence[Frame], files: Files) -> tuple[Frame, ...]:
    """The frames without copies, which share place, contrast and pixels, though their headers may differ.

    Parameters
    ----------
    frames
        Frames of one series.
    files
        Function that reads files, called only for frames that share a place and a contrast.

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
        kept_pictures: set[str] = set()
        instances: dict[str, str] = {}
        for frame in several:
            picture = pictures.get(_key(frame))
            if picture is None:
                continue
            if picture in kept_pictures:
                dropped.add(_key(frame))
            elif frame.instance_uid and frame.instance_uid in instances and frame.described == 1:
                raise ScanError(
                    "conflicting_copies",
                    "files of one instance and one place differ in their pixels; keep the right one of each",
                )
            kept_pictures.add(picture)
            instances[frame.instance_uid] = picture
    return tuple(frame for frame in frames if _key(frame) not in dropped)


def _key(frame: Frame) -> tuple[str, int]:
    return frame.name, frame.pixels.index


def _place(frame: Frame) -> tuple[object, ...]:
    position = tuple(round(value, 2) for value in frame.position or ())
    # an edited header may differ in these values
    contrast = replace(frame.contrast, filters="", acquisition=None)
    return position, frame.orientation, frame.pixels.rows, frame.pixels.columns, contrast


def _pictures(frames: Iterable[Frame], files: Files) -> dict[tuple[str, int], str]:
    """Digest of each frame's decoded pixels; none where they cannot be decoded."""
    by_file: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        by_file[frame.name].append(frame)
    digests: dict[tuple[str, int], str] = {}
    for name, data in files(by_file):
        try:
            for frame in by_file[name]:
                check_format(frame.pixels)
            decoded = stored_frames(data, [frame.pixels for frame in by_file[name]])
            for frame, stored in zip(by_file[name], decoded, strict=True):
                digests[_key(frame)] = hashlib.sha256(stored.values.astype("<i8").tobytes()).hexdigest()
        except ScanError:
            # faulty pixels are reported where the series is read
            continue
    return digests
