"""Reads the tags of each frame of enhanced MR files (PS3.3 A.36) under the keywords of classic files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence

from spinenet.readers.dicom.tags import Tags

GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
"""Sequences of the functional groups that all frames share, and of those of each frame."""

# enhanced files that were converted from classic ones keep the timing in these, unchanged
_CONVERTED = ("UnassignedSharedConvertedAttributesSequence", "UnassignedPerFrameConvertedAttributesSequence")

_PLACES: Mapping[str, tuple[tuple[str, str], ...]] = MappingProxyType(
    {
        "ImagePositionPatient": (("PlanePositionSequence", "ImagePositionPatient"),),
        "ImageOrientationPatient": (("PlaneOrientationSequence", "ImageOrientationPatient"),),
        "PixelSpacing": (("PixelMeasuresSequence", "PixelSpacing"),),
        "SliceThickness": (("PixelMeasuresSequence", "SliceThickness"),),
        "RescaleSlope": (("PixelValueTransformationSequence", "RescaleSlope"),),
        "RescaleIntercept": (("PixelValueTransformationSequence", "RescaleIntercept"),),
        **{
            tag: tuple((sequence, tag) for sequence in _CONVERTED)
            for tag in ("PixelPaddingValue", "PixelPaddingRangeLimit")
        },
        "EchoTime": (
            ("MREchoSequence", "EffectiveEchoTime"),
            *((sequence, "EchoTime") for sequence in _CONVERTED),
        ),
        "RepetitionTime": (
            ("MRTimingAndRelatedParametersSequence", "RepetitionTime"),
            *((sequence, "RepetitionTime") for sequence in _CONVERTED),
        ),
        "InversionTime": (
            ("MRModifierSequence", "InversionTimes"),
            *((sequence, "InversionTime") for sequence in _CONVERTED),
        ),
        "ImageType": (("MRImageFrameTypeSequence", "FrameType"),),
        "TemporalPositionIdentifier": (
            ("FrameContentSequence", "TemporalPositionIndex"),
            *((sequence, "TemporalPositionIdentifier") for sequence in _CONVERTED),
        ),
        "AcquisitionNumber": (("FrameContentSequence", "FrameAcquisitionNumber"),),
        "EchoNumbers": tuple((sequence, "EchoNumbers") for sequence in _CONVERTED),
        "DiffusionBValue": (("MRDiffusionSequence", "DiffusionBValue"),),
        "FlipAngle": (("MRTimingAndRelatedParametersSequence", "FlipAngle"),),
        **{
            tag: tuple((sequence, tag) for sequence in _CONVERTED)
            for tag in ("ScanningSequence", "BodyPartExamined")
        },
        "AnatomicRegionSequence": (
            ("FrameAnatomySequence", "AnatomicRegionSequence"),
            *((sequence, "AnatomicRegionSequence") for sequence in _CONVERTED),
        ),
    }
)
"""(functional group, keyword in it) of each classic keyword; the first that exists is used."""

_PULSES = MappingProxyType({"SPIN": ["SE"], "GRADIENT": ["GR"], "BOTH": ["SE", "GR"]})


@dataclass(frozen=True)
class FrameTags:
    """The tags of one frame: its own functional groups first, then the shared ones, then the file's.

    Attributes
    ----------
    header
        The file's header.
    groups
        The frame's own functional groups and the shared ones, in this order.
    index
        The frame's place in the file, from 0.
    """

    header: FileDataset
    groups: tuple[Dataset, ...]
    index: int

    def get(self, keyword: str) -> Any:
        """A tag's value as a classic file would have it; None where absent."""
        if keyword == "InstanceNumber":
            return self.index + 1
        value = self._from_groups(_PLACES.get(keyword, ()))
        if value is None and keyword == "ScanningSequence" and "EchoPulseSequence" in self.header:
            return self._scanning_sequence()
        return self.header.get(keyword) if value is None else value

    def __contains__(self, keyword: str) -> bool:
        return self._from_groups(_PLACES.get(keyword, ())) is not None or keyword in self.header

    def _from_groups(self, places: tuple[tuple[str, str], ...]) -> Any:
        for sequence, keyword in places:
            for group in self.groups:
                for item in _items(group, sequence)[:1]:
                    if keyword in item:
                        return item.get(keyword)
        return None

    def _scanning_sequence(self) -> list[str]:
        inverted = self._from_groups((("MRModifierSequence", "InversionRecovery"),)) == "YES"
        pulses = _PULSES.get(str(self.header.get("EchoPulseSequence")), [])
        return [*pulses, "IR"] if inverted else pulses


def frames_of(header: FileDataset) -> tuple[Tags, ...]:
    """The tags of each frame that a header describes.

    Parameters
    ----------
    header
        Read with :data:`GROUPS`.

    Returns
    -------
    tuple
        One for each item of PerFrameFunctionalGroupsSequence (5200,9230); the header itself where it has
        no functional groups.
    """
    shared, own = (_items(header, sequence) for sequence in GROUPS)
    if not shared and not own:
        return (header,)
    groups = [(item, *shared[:1]) for item in own] or [tuple(shared[:1])]
    return tuple(FrameTags(header, members, index) for index, members in enumerate(groups))


def _items(dataset: Dataset, keyword: str) -> list[Dataset]:
    value = dataset.get(keyword)
    return list(value) if isinstance(value, Sequence) else []
