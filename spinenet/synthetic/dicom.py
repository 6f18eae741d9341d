"""Writes a scan as a series of valid MR Image Storage files (DICOM PS3.3 A.4), one slice a file."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    MRImageStorage,
    RLELossless,
    generate_uid,
)
from pydicom.valuerep import DSfloat

from spinenet.types import Scan

COMPRESSIONS = MappingProxyType({"rle": RLELossless, "jpeg2000": JPEG2000Lossless, "jpegls": JPEGLSLossless})
"""Lossless encodings that can be asked for, where an encoder is installed."""

TIMES_MS = MappingProxyType(
    {"T1": (11.0, 600.0, None), "T2": (102.0, 3500.0, None), "STIR": (62.0, 4200.0, 160.0)}
)
"""Echo, repetition and inversion time of a usual spin echo protocol at 1.5 T, by sequence."""

_PIXEL_DTYPES = ("uint8", "uint16", "int16")


def uid_from(*seed: str) -> str:
    """A valid UID that depends on ``seed`` alone, so that a cohort made twice has equal files."""
    return str(generate_uid(entropy_srcs=["spinenet", *seed]))


def can_compress(compression: str) -> bool:
    """Whether an encoder for this entry of :data:`COMPRESSIONS` is installed."""
    return bool(get_encoder(COMPRESSIONS[compression]).is_available)


def write_series(
    folder: Path,
    scan: Scan,
    *,
    patient_id: str,
    study_uid: str,
    series_uid: str,
    description: str,
    compression: str | None = None,
    pixel_dtype: str = "uint16",
) -> list[Path]:
    """Write a scan as DICOM, in the orientation and slice order that it is given in.

    Parameters
    ----------
    folder
        Made if need be; files are named IM0001.dcm on.
    scan
        Volume (rows, columns, slices); all geometry tags come from its affine (LPS, mm), the timing
        tags from its sequence, and slice thickness is nine tenths of the slice distance unless the
        header has "slice_thickness".
    patient_id, study_uid, series_uid, description
        What the tags of those names hold.
    compression
        None (explicit VR little endian) or a key of :data:`COMPRESSIONS`.
    pixel_dtype
        Stored pixels: "uint8", "uint16" or "int16". Whole numbers that fit are stored as they are;
        anything else is scaled to the range of the type, with rescale slope and intercept to undo it.

    Returns
    -------
    list of Path
        One file a slice, in the order of the volume's slices.

    Raises
    ------
    ValueError
        If the spacings contradict the affine, or the pixel type or compression is not known or has
        no encoder here.
    """
    _check(scan, compression, pixel_dtype)
    folder.mkdir(parents=True, exist_ok=True)
    stored, slope, intercept = _to_stored(scan.volume, np.dtype(pixel_dtype))
    common = _series_tags(scan, patient_id, study_uid, series_uid, description)
    common.update(_pixel_tags(stored, slope, intercept))
    paths = []
    for index in range(stored.shape[2]):
        instance = uid_from(series_uid, str(index))
        dataset = _file(instance)
        dataset.update(common)
        dataset.SOPInstanceUID = instance
        dataset.InstanceNumber = index + 1
        dataset.ImagePositionPatient = _decimals(scan.affine[:3, 3] + index * scan.affine[:3, 2])
        pixels = np.ascontiguousarray(stored[:, :, index])
        put_pixels(dataset, pixels, compression)
        path = folder / f"IM{index + 1:04d}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def put_pixels(dataset: Dataset, pixels: npt.NDArray[np.integer], compression: str | None) -> None:
    """Give a data set its pixel data: one frame (rows, columns), or several (frames, rows, columns).

    Parameters
    ----------
    compression
        As for :func:`write_series`.
    """
    if compression is None:
        # even length, as every element's value must have
        little = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
        dataset.PixelData = little + b"\0" * (pixels.nbytes % 2)
        dataset["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
    else:
        dataset.compress(COMPRESSIONS[compression], pixels, generate_instance_uid=False)


def _check(scan: Scan, compression: str | None, pixel_dtype: str) -> None:
    lengths = np.linalg.norm(scan.affine[:3, :3], axis=0)
    if not np.allclose(lengths[:2], scan.pixel_spacing, rtol=1e-3):
        raise ValueError(
            f"the affine's steps {lengths} are not the scan's pixel spacing {scan.pixel_spacing}"
        )
    if pixel_dtype not in _PIXEL_DTYPES:
        raise ValueError(f"pixel_dtype is one of {_PIXEL_DTYPES}, not {pixel_dtype!r}")
    if compression is None:
        return
    if compression not in COMPRESSIONS:
        raise ValueError(f"compression is one of {tuple(COMPRESSIONS)}, not {compression!r}")
    if not can_compress(compression):
        raise ValueError(f"no encoder for {compression} is installed")


def _to_stored(
    volume: npt.NDArray[np.floating], dtype: np.dtype
) -> tuple[npt.NDArray[np.integer], float, float]:
    """(stored, slope, intercept) with volume = stored * slope + intercept."""
    limits = np.iinfo(dtype)
    low, high = float(volume.min()), float(volume.max())
    if low >= limits.min and high <= limits.max and np.array_equal(volume, np.rint(volume)):
        return volume.astype(dtype), 1.0, 0.0
    slope = float(DSfloat((high - low) / (limits.max - limits.min) or 1.0, auto_format=True))
    intercept = float(DSfloat(low - slope * limits.min, auto_format=True))
    scaled = np.rint((volume.astype(np.float64) - intercept) / slope)
    return np.clip(scaled, limits.min, limits.max).astype(dtype), slope, intercept


def _file(instance: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = UID(instance)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)


def _series_tags(scan: Scan, patient_id: str, study_uid: str, series_uid: str, description: str) -> Dataset:
    tags = Dataset()
    tags.SpecificCharacterSet = "ISO_IR 192"
    tags.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    tags.SOPClassUID = MRImageStorage
    tags.StudyDate, tags.StudyTime = "20000101", "120000"
    tags.AccessionNumber = tags.ReferringPhysicianName = ""
    tags.Modality = "MR"
    tags.Manufacturer = str(scan.header.get("manufacturer", "spinenet synthetic"))
    tags.SeriesDescription = description
    tags.PatientName, tags.PatientID = f"Synthetic^{patient_id}", patient_id
    tags.PatientBirthDate = tags.PatientSex = ""
    tags.BodyPartExamined = "SPINE"
    tags.PatientPosition = "HFS"
    tags.MRAcquisitionType = "2D"
    tags.MagneticFieldStrength = _decimal(float(scan.header.get("field_strength", 1.5)))
    tags.StudyInstanceUID, tags.SeriesInstanceUID = study_uid, series_uid
    tags.FrameOfReferenceUID = uid_from(study_uid, "frame of reference")
    tags.StudyID, tags.SeriesNumber = "1", 1
    tags.PositionReferenceIndicator = tags.Laterality = ""
    _add_sequence(tags, scan.sequence)
    _add_geometry(tags, scan)
    return tags


def _add_sequence(tags: Dataset, sequence: str) -> None:
    echo, repetition, inversion = TIMES_MS.get(sequence, (30.0, 2500.0, None))
    tags.ScanningSequence = ["SE", "IR"] if inversion else "SE"
    tags.SequenceVariant = "SK"
    tags.ScanOptions = ""
    tags.EchoTime, tags.RepetitionTime = _decimal(echo), _decimal(repetition)
    tags.EchoTrainLength = 3 if sequence == "T1" else 15
    tags.FlipAngle = _decimal(150.0)
    if inversion:
        tags.InversionTime = _decimal(inversion)


def _add_geometry(tags: Dataset, scan: Scan) -> None:
    """Orientation is the direction of growing column, then of growing row (PS3.3 C.7.6.2.1.1)."""
    steps = scan.affine[:3, :3]
    row, column = (steps[:, axis] / np.linalg.norm(steps[:, axis]) for axis in (0, 1))
    spacing = abs(float(np.cross(column, row) @ steps[:, 2]))
    tags.ImageOrientationPatient = _decimals(np.concatenate([column, row]))
    tags.PixelSpacing = _decimals(np.linalg.norm(steps[:, :2], axis=0))
    tags.SpacingBetweenSlices = _decimal(spacing)
    tags.SliceThickness = _decimal(float(scan.header.get("slice_thickness", 0.9 * spacing)))


def _pixel_tags(stored: npt.NDArray[np.integer], slope: float, intercept: float) -> Dataset:
    tags = Dataset()
    tags.SamplesPerPixel = 1
    tags.PhotometricInterpretation = "MONOCHROME2"
    tags.Rows, tags.Columns = stored.shape[:2]
    tags.BitsAllocated = tags.BitsStored = 8 * stored.dtype.itemsize
    tags.HighBit = tags.BitsStored - 1
    tags.PixelRepresentation = int(stored.dtype.kind == "i")
    tags.RescaleIntercept, tags.RescaleSlope = _decimal(intercept), _decimal(slope)
    tags.RescaleType = "US"
    low, high = (slope * float(np.quantile(stored, q)) + intercept for q in (0.01, 0.99))
    tags.WindowCenter, tags.WindowWidth = _decimal((low + high) / 2), _decimal(max(high - low, 1.0))
    return tags


def _decimal(value: float) -> DSfloat:
    return DSfloat(value, auto_format=True)


def _decimals(values: npt.NDArray[np.float64]) -> list[DSfloat]:
    # minus zero is legal but reads oddly
    return [_decimal(float(value) + 0.0) for value in values]
