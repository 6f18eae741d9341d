"""What sort of object a DICOM file is: an image, or one of those that no volume is made of."""

from __future__ import annotations

import re

from pydicom.dataset import FileDataset

from spinenet.readers.dicom.tags import text_of

MOSAIC_COUNT = 0x0019100A
"""NumberOfImagesInMosaic (0019,xx0A) where Siemens scanners put it."""

MOSAIC_CREATOR = 0x00190010
"""Who says what the group of that tag means."""

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
"""Secondary captures, of one frame or many."""

_MODALITY = re.compile(r"[A-Z][A-Z0-9]{1,15}")


def is_image(header: FileDataset) -> bool:
    """Whether the file's SOP class may be one of images."""
    return not _sop_class(header).startswith(_NOT_IMAGES)


def modality_of(header: FileDataset) -> str:
    """Modality (0008,0060); "MR" where it is absent or no term, and all else says that the file is MR.

    What says so is the SOP class, or the magnetic field and the echo time of a file without one.
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
    """Those of "mosaic", "localizer", "derived" and "capture" that the header says of its image.

    From ImageType (0008,0008), the SOP class and, for a mosaic, from the count that Siemens scanners give;
    the header must have been read with :data:`MOSAIC_COUNT` and :data:`MOSAIC_CREATOR`.
    """
    said = [word.strip() for word in text_of(header, "ImageType").upper().split("\\")]
    marks = {word.lower() for word in said if word in ("MOSAIC", "LOCALIZER")}
    if {"DERIVED", "SECONDARY"} & set(said[:2]):
        marks.add("derived")
    if _sop_class(header).startswith(_CAPTURE) or any("SCREEN" in word for word in said):
        marks.add("capture")
    creator, count = header.get(MOSAIC_CREATOR), header.get(MOSAIC_COUNT)
    if creator is not None and count is not None and str(creator.value).startswith("SIEMENS MR HEADER"):
        value = count.value
        # bytes, if whoever wrote the file did not know the tag
        images = int.from_bytes(value[:4], "little") if isinstance(value, bytes) else value
        if isinstance(images, int) and images > 1:
            marks.add("mosaic")
    return frozenset(marks)
