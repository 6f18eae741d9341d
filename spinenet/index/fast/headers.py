"""Reads headers by a walk, and by what others of the series were read to; pydicom reads what is not plain.

For an index alone. A run reads by pydicom: that takes 0.15 % of a scan's time (71 ms of 48.6 s, 15 slices of
512 x 512 on two busy cores), the walk 0.07 %.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import BinaryIO

from pydicom.tag import Tag

from spinenet.index.fast.siblings import sibling_of
from spinenet.index.fast.walk import Held, walk
from spinenet.readers.dicom.frames import Frame
from spinenet.readers.dicom.headers import PIXEL_HEAD, WANTED, frames_from, replaced_numbers

_WALKED = frozenset(map(int, (*WANTED, Tag("SpecificCharacterSet"))))


def fast_frames(
    name: str,
    file: BinaryIO,
    upto: Callable[[int], bytes],
    held: Held,
    overrides: Mapping[str, str] | None = None,
) -> tuple[Frame, ...]:
    """As :func:`spinenet.readers.dicom.headers.read_frames`, of no more of a file than the header needs.

    Parameters
    ----------
    name
        Key of the file.
    file
        The file at its start; with preamble, and not deflated.
    upto
        Gives at least as many of the file's first bytes, once the header has been read; they make the digest.
    held
        The same file, for the walk.
    overrides
        Values that replace tags, by keyword.

    Raises
    ------
    ScanError
        As pydicom's reading does.
    """
    replaced = replaced_numbers(overrides)
    walked = walk(held, _WALKED)
    sibling = sibling_of(walked, replaced) if walked is not None else None
    frame = sibling.recalled() if sibling is not None else None
    if walked is not None and frame is not None:
        file.seek(walked.start)
        digest = sha256(upto(walked.start + PIXEL_HEAD)).hexdigest()
        return (replace(frame, name=name, digest=digest),)
    file.seek(0)
    found = frames_from(name, file, upto, replaced)
    if sibling is not None and len(found) == 1 and not found[0].odd:
        sibling.remember(found[0])
    return found
