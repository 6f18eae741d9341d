"""Writes the enhanced multi-frame form (DICOM PS3.3 A.36) of a series that is there in its classic form."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    UID,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    LegacyConvertedEnhancedMRImageStorage,
)

from spinenet.synthetic.dicom import put_pixels, uid_from

_KEPT = """
    SpecificCharacterSet StudyDate StudyTime AccessionNumber ReferringPhysicianName Modality Manufacturer
    SeriesDescription PatientName PatientID PatientBirthDate PatientSex BodyPartExamined PatientPosition
    MRAcquisitionType MagneticFieldStrength StudyInstanceUID SeriesInstanceUID FrameOfReferenceUID StudyID
    SeriesNumber PositionReferenceIndicator Laterality SamplesPerPixel PhotometricInterpretation Rows Columns
    BitsAllocated BitsStored HighBit PixelRepresentation
"""
_TIMING = """
    ScanningSequence SequenceVariant ScanOptions EchoTime RepetitionTime InversionTime EchoTrainLength
    FlipAngle
"""


def write_enhanced(
    target: Path, slices: Sequence[Path], *, converted: bool = False, compression: str | None = None
) -> None:
    """Write the slices of one series as one file of many frames.

    Parameters
    ----------
    target
        File to write; its folder is made if need be.
    slices
        Uncompressed files of :func:`spinenet.synthetic.dicom.write_series`; frames are in their order.
    converted
        Whether to write Legacy Converted Enhanced MR (PS3.3 A.70), which keeps the timing under the
        classic tags, rather than Enhanced MR.
    compression
        None (explicit VR little endian) or a key of :data:`spinenet.synthetic.dicom.COMPRESSIONS`.
    """
    classic = [pydicom.dcmread(path) for path in slices]
    first = classic[0]
    dataset = _file(uid_from(str(first.SeriesInstanceUID), "enhanced"), converted)
    for keyword in _KEPT.split():
        if keyword in first:
            setattr(dataset, keyword, first[keyword].value)
    _add_required(dataset, first)
    dataset.NumberOfFrames = len(classic)
    dataset.SharedFunctionalGroupsSequence = [_shared(first, converted)]
    dataset.PerFrameFunctionalGroupsSequence = [_own(image, place) for place, image in enumerate(classic)]
    if not converted:
        _add_pulse_sequence(dataset, first)
    pixels = np.stack([image.pixel_array for image in classic])
    put_pixels(dataset, pixels, compression)
    target.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(target, enforce_file_format=True)


def _file(instance: str, converted: bool) -> FileDataset:
    meta = FileMetaDataset()
    sop_class = LegacyConvertedEnhancedMRImageStorage if converted else EnhancedMRImageStorage
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = UID(instance)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, instance
    return dataset


def _add_required(dataset: Dataset, first: Dataset) -> None:
    """What the form wants besides, none of which a slice of a classic series has."""
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    dataset.InstanceNumber = 1
    dataset.ContentDate, dataset.ContentTime = first.StudyDate, first.StudyTime
    dataset.AcquisitionDateTime = f"{first.StudyDate}{first.StudyTime}"
    dataset.ManufacturerModelName = dataset.DeviceSerialNumber = dataset.SoftwareVersions = "synthetic"
    dataset.PixelPresentation, dataset.VolumetricProperties = "MONOCHROME", "VOLUME"
    dataset.VolumeBasedCalculationTechnique, dataset.ComplexImageComponent = "NONE", "MAGNITUDE"
    dataset.AcquisitionContrast, dataset.ResonantNucleus = "UNKNOWN", "1H"
    dataset.ContentQualification, dataset.BurnedInAnnotation = "PRODUCT", "NO"
    dataset.LossyImageCompression, dataset.PresentationLUTShape = "00", "IDENTITY"
    dataset.AcquisitionContextSequence = []
    dimensions = uid_from(str(first.SeriesInstanceUID), "dimensions")
    dataset.DimensionOrganizationSequence = [_item(DimensionOrganizationUID=dimensions)]
    # places in the stack (0020,9057), among what tells of a frame (0020,9111)
    dataset.DimensionIndexSequence = [
        _item(
            DimensionOrganizationUID=dimensions,
            DimensionIndexPointer=0x00209057,
            FunctionalGroupPointer=0x00209111,
        )
    ]


def _shared(first: Dataset, converted: bool) -> Dataset:
    measures = ("PixelSpacing", "SliceThickness", "SpacingBetweenSlices")
    shared = _item(
        PixelMeasuresSequence=[_item(**{keyword: first[keyword].value for keyword in measures})],
        PlaneOrientationSequence=[_item(ImageOrientationPatient=first.ImageOrientationPatient)],
    )
    if converted:
        kept = {keyword: first[keyword].value for keyword in _TIMING.split() if keyword in first}
        shared.UnassignedSharedConvertedAttributesSequence = [_item(**kept)]
        return shared
    inverted = "InversionTime" in first
    modifier = _item(InversionRecovery="YES" if inverted else "NO")
    if inverted:
        modifier.InversionTimes = [float(first.InversionTime)]
    shared.MREchoSequence = [_item(EffectiveEchoTime=float(first.EchoTime))]
    shared.MRTimingAndRelatedParametersSequence = [
        _item(
            RepetitionTime=first.RepetitionTime,
            FlipAngle=first.FlipAngle,
            EchoTrainLength=first.EchoTrainLength,
        )
    ]
    shared.MRModifierSequence = [modifier]
    return shared


def _own(one: Dataset, place: int) -> Dataset:
    rescale = ("RescaleSlope", "RescaleIntercept", "RescaleType")
    return _item(
        FrameContentSequence=[
            _item(StackID="1", InStackPositionNumber=place + 1, DimensionIndexValues=[place + 1])
        ],
        PlanePositionSequence=[_item(ImagePositionPatient=one.ImagePositionPatient)],
        PixelValueTransformationSequence=[_item(**{keyword: one[keyword].value for keyword in rescale})],
        FrameVOILUTSequence=[_item(WindowCenter=one.WindowCenter, WindowWidth=one.WindowWidth)],
    )


def _add_pulse_sequence(dataset: Dataset, first: Dataset) -> None:
    dataset.EchoPulseSequence = "GRADIENT" if "GR" in first.ScanningSequence else "SPIN"
    dataset.PulseSequenceName = "synthetic"
    dataset.MultipleSpinEcho = dataset.EchoPlanarPulseSequence = "NO"


def _item(**values: object) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item
