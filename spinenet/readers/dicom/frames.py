"""One image of a series by its header: place, pixel format, and facts that name no person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from spinenet.readers.dicom.contrasts import Contrast

COLOURS = ("RGB", "YBR", "PALETTE", "HSV", "ARGB", "CMYK", "XYB")
"""Prefixes of colour spaces' names (PhotometricInterpretation, PS3.3 C.7.6.3.1.2)."""


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

    @property
    def in_colour(self) -> bool:
        """Whether the image is in colour."""
        return self.samples != 1 or self.photometric.startswith(COLOURS)


@dataclass(frozen=True)
class Frame:
    """One image of a series: where it lies, how it is stored, and facts that name no person.

    Attributes
    ----------
    name
        Key of the file among those fetched; may hold a person's name, so it goes into no message.
    digest
        SHA-256 of the file's bytes.
    series_uid
        SeriesInstanceUID (0020,000E) as it stands, be it a valid UID or not; empty where absent.
    study_uid, instance_uid, series_number
        StudyInstanceUID (0020,000D), SOPInstanceUID (0008,0018) and SeriesNumber (0020,0011) as they stand.
    patient
        Digest of PatientID (0010,0020), which is to tell patients apart and to leave no process.
    modality
        As :func:`spinenet.readers.dicom.kinds.modality_of` has it.
    contrast
        Values by which images of one place differ.
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
        Result of :func:`spinenet.readers.dicom.kinds.marks_of`.
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
    study_uid: str = ""
    instance_uid: str = ""
    series_number: str = ""
    patient: str = ""
    contrast: Contrast = field(default_factory=Contrast)
