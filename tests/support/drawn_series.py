"""A drawn sagittal MR series as DICOM whose every pixel says where it lies: 1000 + 4x + 2y + z, in LPS mm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from spinenet.synthetic.dicom import uid_from

SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
"""ImageOrientationPatient: columns run to posterior, rows to caudal."""
ROWS, COLUMNS, SPACING, GAP = 200, 160, (1.5, 1.5), 4.0
MR_IMAGE = UID("1.2.840.10008.5.1.4.1.1.4")


def plane(
    position: Sequence[float],
    orientation: Sequence[float] = SAGITTAL,
    spacing: tuple[float, float] = SPACING,
    shape: tuple[int, int] = (ROWS, COLUMNS),
) -> npt.NDArray[np.uint16]:
    """Stored values of a slice whose first pixel lies at ``position``."""
    along_row, along_column = np.array(orientation[:3]), np.array(orientation[3:])
    columns, rows = np.meshgrid(np.arange(shape[1]), np.arange(shape[0]))
    places = np.array(position)[None, None] + columns[..., None] * along_row * spacing[1]
    places = places + rows[..., None] * along_column * spacing[0]
    values = 1000 + 4 * places[..., 0] + 2 * places[..., 1] + places[..., 2]
    stored: npt.NDArray[np.uint16] = np.clip(np.rint(values), 0, 4095).astype("<u2")
    return stored


def drawn_slice(
    position: Sequence[float], number: int, series_uid: str | None = None, **tags: Any
) -> pydicom.Dataset:
    """One slice; ``tags`` replace its own by keyword, and None takes one away."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MR_IMAGE
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID("1.2.3.4")
    data = pydicom.Dataset()
    data.file_meta = meta
    data.SOPClassUID, data.SOPInstanceUID = MR_IMAGE, meta.MediaStorageSOPInstanceUID
    data.Modality, data.StudyInstanceUID = "MR", uid_from("drawn", "study")
    data.SeriesInstanceUID = series_uid or uid_from("drawn", "series")
    data.PatientID, data.PatientName = "PLANTEDID77", "PLANTED^NAME"
    data.SeriesDescription, data.ScanningSequence = "SAG T2 TSE LSPINE", "SE"
    data.EchoTime, data.RepetitionTime = "100", "3500"
    data.SeriesNumber, data.InstanceNumber, data.SliceThickness = 3, number, GAP
    data.ImagePositionPatient = [f"{value:.6g}" for value in position]
    data.ImageOrientationPatient = [f"{value:.8g}" for value in SAGITTAL]
    data.PixelSpacing, data.Rows, data.Columns = list(SPACING), ROWS, COLUMNS
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.PixelData = plane(position).tobytes()
    data["PixelData"].VR = "OW"
    for keyword, value in tags.items():
        if value is not None:
            setattr(data, keyword, value)
        elif keyword in data:
            delattr(data, keyword)
    return data


def drawn_series(
    series_uid: str | None = None, *, n_slices: int = 9, first_x: float = -16.0, gap: float = GAP, **tags: Any
) -> list[pydicom.Dataset]:
    """Slices from right to left; ``tags`` as for :func:`drawn_slice`."""
    return [
        drawn_slice((first_x + gap * index, -120.0, 150.0), index + 1, series_uid, **tags)
        for index in range(n_slices)
    ]


def save_slice(data: pydicom.Dataset, path: Path) -> None:
    """Write one slice, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)


def save_series(folder: Path, series: Sequence[pydicom.Dataset], prefix: str = "IM") -> list[Path]:
    """Write a series as ``prefix``0001.dcm and so on; the files' paths."""
    paths = [folder / f"{prefix}{index + 1:04d}.dcm" for index in range(len(series))]
    for data, path in zip(series, paths, strict=True):
        save_slice(data, path)
    return paths
