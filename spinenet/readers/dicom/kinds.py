"""Recognises what kind of object a DICOM file is, by SOP class, modality and image type."""

from __future__ import annotations

import re

from pydicom.dataset import FileDataset

from spinenet.readers.dicom.tags import text_of

MOSAIC_COUNT = 0x0019100A
"""Tag NumberOfImagesInMosaic (0019,xx0A) of Siemens scanners."""

MOSAIC_CREATOR = 0x00190010
"""Private creator that defines the meaning of that tag's group."""

_NOT_IMAGES = (
    "1.2.840.10008.1.3.10",  # directory of a medium
    "1.2.840.10008.5.1.4.1.1.4.2",  # MR spectroscopy
    "1.2.840.10008.5.1.4.1.1.9.",  # waveforms
    "1.2.840.10008.5.1.4.1.1.11.",  # presentation states
    "1.2.840.10008.5.1.4.1.1.66",  # raw data, registrations, fiducials, segmentations
    "1.2.840.10008.5.1.4.1.1.67",  # real world value mappings
    "1.2.840.10008.5.1.4.1.1.68.",  # surface scans
    "1.2.840.10008.5.1.4.1.1.88.",  # structured reports and key object selections
    "1.2.840.10008.5.1.4.1.1.104.",  # encapsulated documents
    *(f"1.2.840.10008.5.1.4.1.1.481.{kind}" for kind in range(3, 10)),  # radiotherapy's plans and records
    "1.2.840.10008.5.1.4.38.",  # hanging protocols
    "1.3.12.2.1107.5.9.1",  # Siemens: no image
    "1.3.46.670589.11.0.0.12.",  # Philips: MR spectra, series data, examination cards
    "1.3.46.670589.5.0.",  # Philips: volumes, scenes
)
"""SOP classes, or beginnings of them (PS3.4 B.5), whose files hold no slice of a scan."""


_MR_IMAGES = (
    "1.2.840.10008.5.1.4.1.1.4",  # MR
    "1.2.840.10008.5.1.4.1.1.4.1",  # enhanced MR
    "1.2.840.10008.5.1.4.1.1.4.3",  # enhanced MR in colour
    "1.2.840.10008.5.1.4.1.1.4.4",  # legacy converted enhanced MR
)
_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
"""SOP classes of secondary captures, single-frame and multi-frame, begin with this."""

_MODALITY = re.compile(r"[A-Z][A-Z0-9]{1,15}")


def is_image(header: FileDataset) -> bool:
    """Whether the file's SOP class may be one of images."""
    return not _sop_class(header).startswith(_NOT_IMAGES)


def modality_of(header: FileDataset) -> str:
    """Modality (0008,0060); "MR" where it is absent or invalid and the file is MR by other tags.

    These are the SOP class, or EchoTime and MagneticFieldStrength of a file without one.
    """
    stated = text_of(header, "Modality").strip(" \0").upper()
    if len(stated) == 2 and _MODALITY.fullmatch(stated):
        return stated
    sop_class = _sop_class(header)
    timed = all(text_of(header, tag) for tag in ("EchoTime", "MagneticFieldStrength"))
    return "MR" if sop_class in _MR_IMAGES or (not sop_class and timed) else stated


def _sop_class(header: FileDataset) -> str:
    stated = text_of(header, "SOPClassUID") or str(header.file_meta.get("MediaStorageSOPClassUID") or "")
    return stated.strip(" \0")


def marks_of(header: FileDataset) -> frozenset[str]:
    """The marks "mosaic", "localizer", "derived" and "capture" that apply to a header's image.

    They come from ImageType (0008,0008), the SOP class and, for a mosaic, the count of Siemens scanners;
    the header must have been read with :data:`MOSAIC_COUNT` and :data:`MOSAIC_CREATOR`.
    """
    values = [word.strip() for word in text_of(header, "ImageType").upper().split("\\")]
    marks = {word.lower() for word in values if word in ("MOSAIC", "LOCALIZER")}
    if {"DERIVED", "SECONDARY"} & set(values[:2]):
        marks.add("derived")
    if _sop_class(header).startswith(_CAPTURE) or any("SCREEN" in word for word in values):
        marks.add("capture")
    creator, count = header.get(MOSAIC_CREATOR), header.get(MOSAIC_COUNT)
    if creator is not None and count is not None and str(creator.value).startswith("SIEMENS MR HEADER"):
        value = count.value
        # bytes, if the writer of the file did not know the tag's VR
        images = int.from_bytes(value[:4], "little") if isinstance(value, bytes) else value
        if isinstance(images, int) and images > 1:
            marks.add("mosaic")
    return frozenset(marks)
