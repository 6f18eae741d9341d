"""Reads from a DICOM file's header what the geometry and the pixels need, and nothing that names a person."""

from __future__ import annotations

import math
import re
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from types import MappingProxyType

import pydicom
from pydicom.dataset import FileDataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from spinenet.errors import ScanError
from spinenet.readers.facts import known_body_part, known_maker, known_model, known_uid, known_words
from spinenet.readers.files import inflate
from spinenet.readers.tags import number_of, numbers_of, quiet_pydicom, text_of, whole_of

OVERRIDABLE: Mapping[str, int] = MappingProxyType(
    {"PixelSpacing": 2, "SliceThickness": 1, "ImageOrientationPatient": 6}
)
"""Tags that a manifest's columns may supply, and how many numbers each holds."""

DEFLATED = b"1.2.840.10008.1.2.1.99"
_EXPLICIT = b"1.2.840.10008.1.2.1".ljust(len(DEFLATED), b"\0")
_PIXEL_DATA = 0x7FE00010
_TAGS = """
    SOPClassUID SOPInstanceUID Modality Manufacturer ManufacturerModelName MagneticFieldStrength
    SeriesDescription ProtocolName BodyPartExamined ScanningSequence EchoTime RepetitionTime
    InversionTime SliceThickness SeriesInstanceUID InstanceNumber ImagePositionPatient
    ImageOrientationPatient PixelSpacing Rows Columns SamplesPerPixel PhotometricInterpretation
    NumberOfFrames BitsAllocated BitsStored HighBit PixelRepresentation RescaleSlope RescaleIntercept
    LossyImageCompression
"""


@dataclass(frozen=True)
class PixelFormat:
    """How a frame's pixels are stored (PS3.3 C.7.6.3); None where a tag is absent.

    ``start`` is where the pixel data element begins in the file's bytes, None where there is none.
    """

    transfer_syntax: str
    rows: int | None
    columns: int | None
    samples: int
    photometric: str
    frames: int
    bits_allocated: int | None
    bits_stored: int | None
    high_bit: int | None
    signed: bool
    slope: float | None
    intercept: float | None
    lossy: bool
    start: int | None


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
        InstanceNumber.
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
    odd: bool = False


def undeflated(data: bytes) -> bytes:
    """The file in explicit VR little endian, if it was deflated; else the same bytes.

    Done here, with a limit, because pydicom would inflate a file to any size.

    Raises
    ------
    ScanError
        too_large or unreadable.
    """
    if data[128:132] != b"DICM" or DEFLATED not in data[132:1024] or data[132:136] != b"\x02\x00\x00\x00":
        return data
    end = 144 + struct.unpack("<I", data[140:144])[0]
    return data[:end].replace(DEFLATED, _EXPLICIT) + inflate(data[end:], wbits=-15)


def read_frame(name: str, data: bytes, overrides: Mapping[str, str] | None = None) -> Frame | None:
    """Read one file's header; pixel data is not touched.

    Parameters
    ----------
    name
        Key of the file.
    data
        Its bytes, not deflated.
    overrides
        Values that replace tags, by keyword (see :data:`OVERRIDABLE`), numbers apart by any sign.

    Returns
    -------
    Frame or None
        None if the file is not DICOM.

    Raises
    ------
    ScanError
        unreadable, if it is DICOM with a broken header; missing_tags, if an override is not numbers.
    """
    if data[128:132] != b"DICM":
        return None
    replaced = {tag: _override(tag, text) for tag, text in (overrides or {}).items()}
    buffer = BytesIO(data)
    with quiet_pydicom() as caught:
        try:
            header = pydicom.dcmread(buffer, stop_before_pixels=True, specific_tags=list(_TAGS.split()))
            return _frame(name, data, header, replaced, buffer.tell(), caught)
        except (Exception, RecursionError) as error:
            detail = f"a DICOM header cannot be read ({type(error).__name__})"
            raise ScanError("unreadable", detail) from None


def _override(tag: str, text: str) -> tuple[float, ...]:
    if tag not in OVERRIDABLE:
        raise ValueError(f"only {', '.join(OVERRIDABLE)} can be overridden, not {tag!r}")
    numbers = tuple(float(found) for found in re.findall(r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?", str(text)))
    if len(numbers) != OVERRIDABLE[tag] or not all(map(math.isfinite, numbers)):
        raise ScanError("missing_tags", f"the manifest's {tag} is not {OVERRIDABLE[tag]} numbers")
    return numbers


def _frame(
    name: str,
    data: bytes,
    header: FileDataset,
    replaced: Mapping[str, tuple[float, ...]],
    stopped_at: int,
    caught: list[warnings.WarningMessage],
) -> Frame:
    thickness = replaced.get("SliceThickness") or numbers_of(header, "SliceThickness", 1)
    facts = _facts(header)
    pixels = _pixel_format(header, data, stopped_at)
    return Frame(
        name=name,
        digest=sha256(data).hexdigest(),
        series_uid=known_uid(text_of(header, "SeriesInstanceUID")),
        modality=text_of(header, "Modality"),
        position=numbers_of(header, "ImagePositionPatient", 3),
        orientation=replaced.get("ImageOrientationPatient")
        or numbers_of(header, "ImageOrientationPatient", 6),
        spacing=replaced.get("PixelSpacing") or numbers_of(header, "PixelSpacing", 2),
        thickness=thickness[0] if thickness else None,
        number=number_of(header, "InstanceNumber"),
        pixels=pixels,
        facts=facts,
        odd=bool(caught),
    )


def _pixel_format(header: FileDataset, data: bytes, stopped_at: int) -> PixelFormat:
    little = header.original_encoding[1] is not False
    tag = struct.pack("<HH" if little else ">HH", _PIXEL_DATA >> 16, _PIXEL_DATA & 0xFFFF)
    slope, intercept = number_of(header, "RescaleSlope"), number_of(header, "RescaleIntercept")
    return PixelFormat(
        transfer_syntax=_syntax(header),
        rows=whole_of(header, "Rows"),
        columns=whole_of(header, "Columns"),
        samples=whole_of(header, "SamplesPerPixel") or 1,
        photometric=text_of(header, "PhotometricInterpretation"),
        frames=whole_of(header, "NumberOfFrames") or 1,
        bits_allocated=whole_of(header, "BitsAllocated"),
        bits_stored=whole_of(header, "BitsStored"),
        high_bit=whole_of(header, "HighBit"),
        signed=whole_of(header, "PixelRepresentation") == 1,
        slope=slope if "RescaleSlope" in header else 1.0,
        intercept=intercept if "RescaleIntercept" in header else 0.0,
        lossy=text_of(header, "LossyImageCompression") == "01",
        start=stopped_at if data[stopped_at : stopped_at + 4] == tag else None,
    )


def _syntax(header: FileDataset) -> str:
    stated = str(header.file_meta.get("TransferSyntaxUID") or "")
    if stated:
        return known_uid(stated) or "unknown"
    implicit, little = header.original_encoding
    if implicit:
        return str(ImplicitVRLittleEndian)
    return str(ExplicitVRLittleEndian if little else ExplicitVRBigEndian)


def _facts(header: FileDataset) -> dict[str, str | float]:
    scanning = text_of(header, "ScanningSequence").upper().split("\\")
    description = f"{text_of(header, 'SeriesDescription')} {text_of(header, 'ProtocolName')}"
    facts: dict[str, str | float | None] = {
        "manufacturer": known_maker(text_of(header, "Manufacturer")),
        "model": known_model(text_of(header, "ManufacturerModelName")),
        "field_strength": number_of(header, "MagneticFieldStrength"),
        "body_part": known_body_part(text_of(header, "BodyPartExamined")),
        "description": known_words(description),
        "scanning_sequence": " ".join(term for term in scanning if term in {"SE", "IR", "GR", "EP", "RM"}),
        "echo_time": number_of(header, "EchoTime"),
        "repetition_time": number_of(header, "RepetitionTime"),
        "inversion_time": number_of(header, "InversionTime"),
        "slice_thickness": number_of(header, "SliceThickness"),
    }
    return {name: value for name, value in facts.items() if value not in (None, "")}
