"""A word planted wherever a header holds text, to see whether any of it gets out."""

from __future__ import annotations

import pydicom
from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import UID

CANARY = "CANARYbird"
TEXT_VRS = {
    "AE",
    "AS",
    "CS",
    "DA",
    "DS",
    "DT",
    "IS",
    "LO",
    "LT",
    "PN",
    "SH",
    "ST",
    "TM",
    "UC",
    "UI",
    "UR",
    "UT",
}
"""VRs whose values are text (PS3.5 6.2)."""

NEEDED = (
    *("SOPClassUID", "Modality", "SeriesInstanceUID", "ImagePositionPatient", "ImageOrientationPatient"),
    *("PixelSpacing", "PhotometricInterpretation", "SpecificCharacterSet", "NumberOfFrames", "ImageType"),
    *("LossyImageCompression", "RescaleSlope", "RescaleIntercept", "InstanceNumber"),
)
"""Tags of text without whose own value a series is not usable, or is something else."""


def with_canary(dataset: pydicom.Dataset, kept: frozenset[str]) -> None:
    """The canary in every tag that holds text, but those ``kept``, and in private and nested ones."""
    bird = CANARY.encode()

    def put(tag: int, vr: str) -> None:
        # raw, since much of it is not what its VR wants
        dataset[tag] = RawDataElement(Tag(tag), vr, len(bird), bird, 0, False, True)

    for tag, (vr, *_) in DicomDictionary.items():
        if 0x00080000 <= tag < 0x7FE00000 and vr in TEXT_VRS and keyword_for_tag(tag) not in kept:
            put(tag, vr)
    for group in (0x0009, 0x0029, 0x0051):
        put(group << 16 | 0x0010, "LO")
        for element, vr in enumerate(("LO", "UN", "OB", "PN", "LT", "UT")):
            put(group << 16 | 0x1001 + element, vr)
    item = pydicom.Dataset()
    item.PatientName = item.TextValue = CANARY
    dataset.ReferencedPatientSequence = [item]
    dataset.file_meta.SourceApplicationEntityTitle = CANARY
    dataset.file_meta.ImplementationVersionName = CANARY
    dataset.file_meta.PrivateInformationCreatorUID = UID("1.2.3")
    dataset.file_meta.PrivateInformation = bird
