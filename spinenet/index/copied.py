"""Recognises copies of a series in several places by their slices' digests and some of their pixels.

Equal UIDs alone do not prove a copy: some anonymisers give one UID to all series of an archive.
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
"""Most bytes of a slice's pixels that are compared."""

_LETTERS = 8
"""Hexadecimal digits of a digest of pixels in a mark."""
_BETWEEN, _WITHIN = " ", "-"
"""Separators in a mark: of slices, and of a slice's header digest and pixel digest."""


def glimpse(
    fs: Any, place: Place, frame: Frame, shift: int | None, count: Callable[[int], None], most: int = GLIMPSE
) -> bytes:
    """Read some bytes from the middle of a frame's pixels, from a file in a folder.

    Parameters
    ----------
    fs
        The fsspec filesystem of the place.
    place
        Place that holds the frame's file.
    frame
        The frame; its name is the path of its file.
    shift
        Bytes that the header, as parsed, is longer than in the file; None where the file is packed.
    count
        Called with the number of bytes read.
    most
        Most bytes to read; never more than half of the pixels are read.

    Returns
    -------
    bytes
        Empty for an archive, a packed file or compressed pixels, as copies may be compressed differently.
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
    """The mark of a series, made of the (header digest, glimpse of the pixels) of its slices."""
    digests = (
        (digest, hashlib.sha256(seen).hexdigest()[:_LETTERS] if seen else "") for digest, seen in slices
    )
    return _BETWEEN.join(f"{digest}{_WITHIN}{pixels}" for digest, pixels in digests)


def repeated(marked: Iterable[tuple[str, int]]) -> set[int]:
    """Positions of those series, given as (mark, position), of which an earlier one is a copy."""
    seen: dict[str, set[str]] = defaultdict(set)
    repeats: set[int] = set()
    for mark, position in marked:
        slices = [text.split(_WITHIN) for text in mark.split(_BETWEEN)]
        if any(
            digest in seen and (not pixels or pixels in seen[digest] or "" in seen[digest])
            for digest, pixels in slices
        ):
            repeats.add(position)
        for digest, pixels in slices:
            seen[digest].add(pixels)
    return repeats
