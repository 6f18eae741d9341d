"""Reads from a DICOM file's header what the geometry and the pixels need, and nothing that names a person."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from typing import BinaryIO

import pydicom
from pydicom.dataset import FileDataset
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from spinenet.errors import ScanError
from spinenet.readers.dicom.body_parts import stated_body_part
from spinenet.readers.dicom.contrasts import contrast_of
from spinenet.readers.dicom.facts import known_maker, known_model, known_uid, known_words
from spinenet.readers.dicom.frames import Frame, PixelFormat
from spinenet.readers.dicom.groups import GROUPS, frames_of
from spinenet.readers.dicom.kinds import MOSAIC_COUNT, MOSAIC_CREATOR, is_image, marks_of, modality_of
from spinenet.readers.dicom.overrides import override_numbers
from spinenet.readers.dicom.padding import padding_of
from spinenet.readers.dicom.tags import Tags, number_of, numbers_of, quiet_pydicom, text_of, whole_of
from spinenet.storage.causes import scan_error

MAX_FRAMES = 5_000
"""Frames of one file."""

MAX_ELEMENTS = 100_000
"""Elements and items of one header: a file of a thousand frames has some ten thousand. An empty one takes 8
bytes, or a thousandth of that where the file is packed, and some microseconds to read."""

MAX_VALUE = 4 << 20
"""Bytes of one value that is read, a sequence with its length stated among them."""

_ITEMS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")

PIXEL_HEAD = 12
"""Bytes of the pixel data element before its first pixel, at most."""

_PIXEL_DATA = 0x7FE00010
_TAGS = """
    SOPClassUID SOPInstanceUID Modality Manufacturer ManufacturerModelName MagneticFieldStrength
    SeriesDescription ProtocolName BodyPartExamined ScanningSequence EchoTime RepetitionTime
    InversionTime SliceThickness SeriesInstanceUID InstanceNumber ImagePositionPatient
    ImageOrientationPatient PixelSpacing Rows Columns SamplesPerPixel PhotometricInterpretation
    NumberOfFrames BitsAllocated BitsStored HighBit PixelRepresentation RescaleSlope RescaleIntercept
    LossyImageCompression EchoPulseSequence ImageType PixelPaddingValue PixelPaddingRangeLimit
    StudyInstanceUID SeriesNumber PatientID EchoNumbers TemporalPositionIdentifier AcquisitionNumber
    DiffusionBValue FlipAngle AnatomicRegionSequence
"""
WANTED = (
    *(Tag(keyword) for keyword in (*_TAGS.split(), *GROUPS)),
    *(Tag(tag) for tag in (MOSAIC_COUNT, MOSAIC_CREATOR)),
)
"""Tags of which values are read."""


def read_frames(name: str, data: bytes, overrides: Mapping[str, str] | None = None) -> tuple[Frame, ...]:
    """Read one file's header; pixel data is not touched.

    Parameters
    ----------
    name
        Key of the file.
    data
        Its bytes, as :func:`spinenet.readers.sources.part10.as_part10` gives them; or the first part of
        them, whose digest then is ``digest``, and which has to hold the first 12 bytes of the pixel data
        element (else ``pixels.start`` is None).
    overrides
        Values that replace tags, by keyword; see :func:`spinenet.readers.dicom.overrides.override_numbers`.

    Returns
    -------
    tuple of Frame
        In the file's order; one for a classic file, none if the file is not DICOM.

    Raises
    ------
    ScanError
        unreadable, if it is DICOM with a broken header; missing_tags, if an override is not numbers.
    """
    if data[128:132] != b"DICM":
        return ()
    return frames_from(name, BytesIO(data), lambda size: data, replaced_numbers(overrides))


def replaced_numbers(overrides: Mapping[str, str] | None) -> dict[str, tuple[float, ...]]:
    """Numbers that replace tags, by keyword; raises ScanError missing_tags where they are none."""
    return {tag: override_numbers(tag, text) for tag, text in (overrides or {}).items()}


def frames_from(
    name: str,
    file: BinaryIO,
    upto: Callable[[int], bytes],
    replaced: Mapping[str, tuple[float, ...]],
) -> tuple[Frame, ...]:
    """As :func:`read_frames`, from a file of which no more is read than the header needs.

    Parameters
    ----------
    file
        At its start; with preamble, and not deflated.
    upto
        Gives at least as many of the file's first bytes, once the header has been read; they make the digest.
    replaced
        Values that replace tags, from :func:`replaced_numbers`.
    """
    bounded = _Bounded(file)
    with quiet_pydicom() as caught:
        try:
            header = pydicom.dcmread(bounded, stop_before_pixels=True, specific_tags=list(WANTED))
            stopped_at = file.tell()
            data = upto(stopped_at + PIXEL_HEAD)
            start = _pixel_data(header, data, stopped_at)
            digest = sha256(data).hexdigest()
            every = frames_of(header)
            if len(every) > MAX_FRAMES:
                raise ScanError("unreadable", f"a file has {len(every)} frames; the most is {MAX_FRAMES}")
            found = [_frame(header, tags, replaced) for tags in every]
            return tuple(
                replace(
                    frame,
                    name=name,
                    digest=digest,
                    pixels=replace(frame.pixels, index=index, start=start),
                    described=len(every),
                    odd=bool(caught),
                )
                for index, frame in enumerate(found)
            )
        except ScanError:
            raise
        except (Exception, RecursionError) as error:
            # pydicom makes errors of its own of what ends a sequence
            if bounded.refused is not None:
                raise bounded.refused from None
            detail = f"a DICOM header cannot be read ({type(error).__name__})"
            raise scan_error(error) or ScanError("unreadable", detail) from None


class _Bounded:
    """A file of which pydicom reads no more values than a header has."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = MAX_ELEMENTS * 2
        self.refused: ScanError | None = None

    def read(self, size: int = -1, /) -> bytes:
        """As a file's; raises ScanError beyond the limits."""
        if size > MAX_VALUE:
            raise self._refusal(f"a value of a header is longer than {MAX_VALUE >> 20} MiB")
        data = self._file.read(size)
        self._left -= 1 + (sum(map(data.count, _ITEMS)) if size > 8 else 0)
        if self._left < 0:
            raise self._refusal(f"a header has more than {MAX_ELEMENTS} elements")
        return data

    def _refusal(self, detail: str) -> ScanError:
        self.refused = ScanError("too_large", detail)
        return self.refused

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """As a file's."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As a file's."""
        return self._file.tell()


def read_frame(name: str, data: bytes, overrides: Mapping[str, str] | None = None) -> Frame | None:
    """The first of :func:`read_frames`, or None if the file is not DICOM."""
    return next(iter(read_frames(name, data, overrides)), None)


def _frame(header: FileDataset, tags: Tags, replaced: Mapping[str, tuple[float, ...]]) -> Frame:
    thickness = replaced.get("SliceThickness") or numbers_of(tags, "SliceThickness", 1)
    return Frame(
        name="",
        digest="",
        series_uid=_uid(header, "SeriesInstanceUID"),
        modality=modality_of(header),
        position=numbers_of(tags, "ImagePositionPatient", 3),
        orientation=replaced.get("ImageOrientationPatient") or numbers_of(tags, "ImageOrientationPatient", 6),
        spacing=replaced.get("PixelSpacing") or numbers_of(tags, "PixelSpacing", 2),
        thickness=thickness[0] if thickness else None,
        number=number_of(tags, "InstanceNumber"),
        pixels=_pixel_format(header, tags),
        facts=_facts(tags),
        image=is_image(header),
        marks=marks_of(header),
        study_uid=_uid(header, "StudyInstanceUID"),
        instance_uid=_uid(header, "SOPInstanceUID"),
        series_number=text_of(header, "SeriesNumber").strip(),
        patient=_patient(header),
        contrast=contrast_of(tags),
    )


def _uid(header: FileDataset, keyword: str) -> str:
    """A UID as it stands, without what fills it up to an even length."""
    return text_of(header, keyword).strip(" \0\t\r\n")


def _patient(header: FileDataset) -> str:
    patient = text_of(header, "PatientID").strip(" \0")
    return sha256(patient.encode(errors="replace")).hexdigest() if patient else ""


def _pixel_data(header: FileDataset, data: bytes, stopped_at: int) -> int | None:
    little = header.original_encoding[1] is not False
    tag = struct.pack("<HH" if little else ">HH", _PIXEL_DATA >> 16, _PIXEL_DATA & 0xFFFF)
    return stopped_at if data[stopped_at : stopped_at + 4] == tag else None


def _pixel_format(header: FileDataset, tags: Tags) -> PixelFormat:
    slope, intercept = number_of(tags, "RescaleSlope"), number_of(tags, "RescaleIntercept")
    allocated, signed = whole_of(header, "BitsAllocated"), whole_of(header, "PixelRepresentation") == 1
    return PixelFormat(
        transfer_syntax=_syntax(header),
        rows=whole_of(header, "Rows"),
        columns=whole_of(header, "Columns"),
        samples=whole_of(header, "SamplesPerPixel") or 1,
        photometric=text_of(header, "PhotometricInterpretation"),
        frames=whole_of(header, "NumberOfFrames") or 1,
        index=0,
        bits_allocated=allocated,
        bits_stored=whole_of(header, "BitsStored"),
        high_bit=whole_of(header, "HighBit"),
        signed=signed,
        slope=slope if "RescaleSlope" in tags else 1.0,
        intercept=intercept if "RescaleIntercept" in tags else 0.0,
        lossy=text_of(header, "LossyImageCompression") == "01",
        start=None,
        padding=padding_of(tags, allocated, signed),
    )


def _syntax(header: FileDataset) -> str:
    stated = str(header.file_meta.get("TransferSyntaxUID") or "")
    if stated:
        return known_uid(stated) or "unknown"
    implicit, little = header.original_encoding
    if implicit:
        return str(ImplicitVRLittleEndian)
    return str(ExplicitVRLittleEndian if little else ExplicitVRBigEndian)


def _facts(tags: Tags) -> dict[str, str | float]:
    scanning = text_of(tags, "ScanningSequence").upper().split("\\")
    shown = contrast_of(tags).described
    description = f"{text_of(tags, 'SeriesDescription')} {text_of(tags, 'ProtocolName')} {shown}"
    facts: dict[str, str | float | None] = {
        "manufacturer": known_maker(text_of(tags, "Manufacturer")),
        "model": known_model(text_of(tags, "ManufacturerModelName")),
        "field_strength": number_of(tags, "MagneticFieldStrength"),
        "body_part": stated_body_part(tags),
        "description": known_words(description),
        "scanning_sequence": " ".join(term for term in scanning if term in {"SE", "IR", "GR", "EP", "RM"}),
        "echo_time": number_of(tags, "EchoTime"),
        "repetition_time": number_of(tags, "RepetitionTime"),
        "inversion_time": number_of(tags, "InversionTime"),
        "slice_thickness": number_of(tags, "SliceThickness"),
    }
    return {name: value for name, value in facts.items() if value not in (None, "")}
