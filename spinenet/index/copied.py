"""Copies of a series in several places are known by their slices, and by some of their pixels.

Equal UIDs alone do not make a copy: anonymisers have given one to all series of an archive.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from pydicom.uid import ImplicitVRLittleEndian

from spinenet.index.members import open_file
from spinenet.index.places import Place
from spinenet.readers.dicom.frames import Frame
from spinenet.readers.dicom.headers import PIXEL_HEAD
from spinenet.readers.dicom.pixels import needed_bytes

GLIMPSE = 4096
"""Bytes of pixels that are compared."""

_LETTERS = 8
_BETWEEN, _WITHIN = " ", "-"


def glimpse(
    fs: Any, place: Place, frame: Frame, shift: int | None, count: Callable[[int], None], most: int = GLIMPSE
) -> bytes:
    """Some bytes from the middle of a frame's pixels, read from a folder's file.

    Parameters
    ----------
    shift
        How many bytes more than the file its header has as it was read; None where the file is packed.
    count
        Told how many bytes were read.
    most
        Bytes; no more than half of the pixels are read.

    Returns
    -------
    bytes
        None from an archive, a packed file, or compressed pixels: copies of these may be packed otherwise.
    """
    pixels, needed = frame.pixels, needed_bytes(frame.pixels)
    if place.kind == "archive" or shift is None or pixels.start is None or needed is None:
        return b""
    size = needed // pixels.frames
    head = PIXEL_HEAD - 4 if pixels.transfer_syntax == ImplicitVRLittleEndian else PIXEL_HEAD
    middle = pixels.start - shift + head + size * pixels.index + (size // 4) * 2
    with open_file(fs, frame.name) as file:
        file.seek(middle)
        data: bytes = file.read(min(most, size // 2))
    count(len(data))
    return data


def mark_of(slices: Iterable[tuple[str, bytes]]) -> str:
    """The mark of a series from (digest, glimpse) of its slices."""
    told = ((digest, hashlib.sha256(seen).hexdigest()[:_LETTERS] if seen else "") for digest, seen in slices)
    return _BETWEEN.join(f"{digest}{_WITHIN}{pixels}" for digest, pixels in told)


def repeated(marked: Iterable[tuple[str, int]]) -> set[int]:
    """Positions of series, given as (mark, position), that lie in an earlier place too."""
    seen: dict[str, set[str]] = defaultdict(set)
    found: set[int] = set()
    for mark, position in marked:
        slices = [one.split(_WITHIN) for one in mark.split(_BETWEEN)]
        if any(
            digest in seen and (not pixels or pixels in seen[digest] or "" in seen[digest])
            for digest, pixels in slices
        ):
            found.add(position)
        for digest, pixels in slices:
            seen[digest].add(pixels)
    return found
