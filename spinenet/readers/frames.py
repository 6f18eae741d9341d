"""One image of a series, as its header describes it: place, pixel format, and facts that name no person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class PixelFormat:
    """How a frame's pixels are stored (PS3.3 C.7.6.3); None where a tag is absent.

    ``frames`` is NumberOfFrames and ``index`` this frame's place among them. ``start`` is where the pixel
    data element begins in the file's bytes, None where there is none. ``padding`` is the lowest and the
    highest stored value of pixels that are no part of the picture.
    """

    transfer_syntax: str
    rows: int | None
    columns: int | None
    samples: int
    photometric: str
    frames: int
    index: int
    bits_allocated: int | None
    bits_stored: int | None
    high_bit: int | None
    signed: bool
    slope: float | None
    intercept: float | None
    lossy: bool
    start: int | None
    padding: tuple[int, int] | None = None


@dataclass(frozen=True)
class Frame:
    """One image of a series: where it lies, how it is stored, and facts that name no person.

    Attributes
    ----------
    name
        Key of the file among those fetched; may hold a person's name, so it goes into no message.
    digest
        SHA-256 of the file's bytes.
    series_uid, modality
        Empty where absent.
    position, orientation, spacing, thickness
        ImagePositionPatient, ImageOrientationPatient, PixelSpacing and SliceThickness, in mm; None where
        absent or not numbers.
    number
        InstanceNumber; the frame's number in a file of several.
    described
        Frames that the file's functional groups describe, each of which is a :class:`Frame`; 1 where it
        has none.
    image
        Whether the file is one of images.
    marks
        What :func:`spinenet.readers.kinds.marks_of` says.
    odd
        Whether reading the header raised warnings.
    """

    name: str
    digest: str
    series_uid: str
    modality: str
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, ...] | None
    thickness: float | None
    number: float | None
    pixels: PixelFormat
    facts: Mapping[str, str | float] = field(default_factory=dict)
    described: int = 1
    image: bool = True
    marks: frozenset[str] = frozenset()
    odd: bool = False
