"""The published package's functions for reading a scan and writing its vertebrae."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from spinenet.errors import ScanError
from spinenet.readers.dicom.assembly import read_dicom
from spinenet.types import CORNERS, FloatArray

__all__ = [
    "SpinalScan",
    "download",
    "download_weights",
    "load_dicoms",
    "load_dicoms_from_folder",
    "save_slices_to_csv",
    "save_vert_dicts_to_csv",
]

_NOTHING: Mapping[str, Any] = MappingProxyType({})


_CSV_COLUMNS = ("polys", "average_polygon", "slice_nos", "predicted_label")


@dataclass(eq=False, repr=False)
class SpinalScan:
    """One scan in the form of the published package, whose attributes callers may replace.

    Attributes
    ----------
    volume
        (H, W, S): rows cranial to caudal, columns anterior to posterior, slices right to left.
    pixel_spacing
        (row, column) distance in mm.
    slice_thickness
        SliceThickness (0018,0050) in mm; the distance between slices where the header has none.

    Examples
    --------
    >>> spinenet.io.SpinalScan(np.zeros((368, 312, 15)), (0.85, 0.85), 4.4)
    SpinalScan(volume=368 x 312 x 15 float64, pixel_spacing=(0.85, 0.85), slice_thickness=4.4)
    """

    volume: FloatArray
    pixel_spacing: tuple[float, float]
    slice_thickness: float

    def __repr__(self) -> str:
        shape = " x ".join(map(str, np.shape(self.volume)))
        kind = getattr(self.volume, "dtype", type(self.volume).__name__)
        return (
            f"SpinalScan(volume={shape} {kind}, pixel_spacing={self.pixel_spacing}, "
            f"slice_thickness={self.slice_thickness})"
        )


def load_dicoms(
    paths: Sequence[str | os.PathLike[str]],
    require_extensions: bool = True,
    metadata_overwrites: Mapping[str, Any] = _NOTHING,
) -> SpinalScan:
    """Read the DICOM files of one sagittal series.

    Parameters
    ----------
    paths
        Files, in any order: slices are ordered by their position.
    require_extensions
        Whether to take only names that end in ``.dcm``.
    metadata_overwrites
        Values for PixelSpacing, SliceThickness or ImageOrientationPatient that replace the headers' own.

    Raises
    ------
    ScanError
        The reason why the files are no usable scan.

    Examples
    --------
    >>> files = list(Path("scan").iterdir())
    >>> spinenet.io.load_dicoms(files, metadata_overwrites={"PixelSpacing": [3, 3]}).pixel_spacing
    (3.0, 3.0)
    """
    chosen = [path for path in map(Path, paths) if not require_extensions or path.suffix.lower() == ".dcm"]
    if not chosen:
        wanted = (
            "files with a .dcm name (require_extensions=False takes any)" if require_extensions else "files"
        )
        raise ScanError("no_files", f"there are no {wanted}")
    overrides = {tag: _as_text(value) for tag, value in metadata_overwrites.items()}
    scan = read_dicom({str(path): _contents(path) for path in chosen}, overrides=overrides or None)
    thickness = overrides.get("SliceThickness", scan.header.get("slice_thickness"))
    return SpinalScan(scan.volume, scan.pixel_spacing, float(thickness) if thickness else scan.slice_spacing)


def load_dicoms_from_folder(
    path: str | os.PathLike[str],
    require_extensions: bool = True,
    metadata_overwrites: Mapping[str, Any] = _NOTHING,
) -> SpinalScan:
    """Read the files directly in a folder as one series; see :func:`load_dicoms`.

    Raises
    ------
    ScanError
        The reason why the folder holds no usable scan.

    Examples
    --------
    >>> spinenet.io.load_dicoms_from_folder("scan").volume.dtype
    dtype('float32')
    """
    folder = Path(path)
    if not folder.is_dir():
        raise ScanError("path_missing", "the folder does not exist")
    # macOS and editors write files whose names begin with a dot, some of which end in .dcm
    files = sorted(item for item in folder.iterdir() if item.is_file() and not item.name.startswith("."))
    return load_dicoms(files, require_extensions, metadata_overwrites)


def save_vert_dicts_to_csv(vert_dicts: Iterable[Mapping[str, Any]], filename: str | os.PathLike[str]) -> None:
    """Write one row per vertebra, as the published package does.

    Parameters
    ----------
    vert_dicts
        As :meth:`spinenet.SpineNet.detect_vb` returns them.
    filename
        CSV with the columns polys, average_polygon, slice_nos, predicted_label; polygons and slices as
        lists in brackets, which JSON and Python read.

    Raises
    ------
    KeyError
        A vertebra lacks this key; no file is written.

    Examples
    --------
    >>> quad = [[9, 1], [9, 5], [1, 5], [1, 1]]
    >>> vertebra = {"predicted_label": "L4", "slice_nos": [7], "polys": [quad], "average_polygon": quad}
    >>> spinenet.io.save_vert_dicts_to_csv([vertebra], "vertebrae.csv")
    >>> pd.read_csv("vertebrae.csv")["average_polygon"].tolist()
    ['[[9, 1], [9, 5], [1, 5], [1, 1]]']
    """
    rows = [[_listed(vertebra[column]) for column in _CSV_COLUMNS] for vertebra in vert_dicts]
    _write_csv(filename, _CSV_COLUMNS, rows)


def save_slices_to_csv(vert_dicts: Iterable[Mapping[str, Any]], filename: str | os.PathLike[str]) -> None:
    """Write one row per vertebra and slice: the level, the slice, and the corners in pixels.

    Parameters
    ----------
    vert_dicts
        As :meth:`spinenet.SpineNet.detect_vb` returns them.
    filename
        CSV with the columns predicted_label, slice_no, rt_x, rt_y, rb_x ... lt_y.

    Examples
    --------
    >>> quad = [[9, 1], [9, 5], [1, 5], [1, 1]]
    >>> vertebra = {"predicted_label": "L4", "slice_nos": [7], "polys": [quad]}
    >>> spinenet.io.save_slices_to_csv([vertebra], "slices.csv")
    >>> pd.read_csv("slices.csv")[["predicted_label", "slice_no", "rt_x", "rt_y"]].values.tolist()
    [['L4', 7, 9, 1]]
    """
    corners = [f"{corner}_{axis}" for corner in CORNERS for axis in "xy"]
    rows = [
        [vertebra["predicted_label"], slice_no, *np.ravel(poly).tolist()]
        for vertebra in vert_dicts
        for slice_no, poly in zip(vertebra["slice_nos"], vertebra["polys"], strict=True)
    ]
    _write_csv(filename, ["predicted_label", "slice_no", *corners], rows)


def download(url: str, file_path: str | os.PathLike[str]) -> None:
    """Download one file from an http(s) URL, or any other that fsspec opens.

    Raises
    ------
    WeightsError
        One sentence for any failure; nothing is left at ``file_path``.

    Examples
    --------
    >>> spinenet.io.download(Path("mirror", "t2_lumbar_scan_1.zip").resolve().as_uri(), "mine.zip")
    >>> Path("mine.zip").exists()
    True
    """
    from spinenet.weights import downloads

    downloads.download(url, Path(file_path))


def download_weights(verbose: bool = True, force: bool = False) -> None:
    """See :func:`spinenet.download_weights`.

    Examples
    --------
    >>> spinenet.io.download_weights()
    """
    from spinenet.published import spine_net

    spine_net.download_weights(verbose, force)


def _write_csv(filename: str | os.PathLike[str], head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    # not atomically, since the name may be a pipe or a device, as in the published package
    with Path(filename).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(head)
        writer.writerows(rows)


def _listed(value: Any) -> str:
    if isinstance(value, str):
        return value
    # a vertebra's polygons are a list of arrays
    return json.dumps(value, default=lambda array: np.asarray(array).tolist())


def _contents(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ScanError("path_missing", "one of the files does not exist") from error
    except PermissionError as error:
        raise ScanError("permission_denied", "one of the files may not be read") from error
    except OSError as error:
        raise ScanError("unreadable", "one of the files cannot be read") from error


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else "\\".join(str(number) for number in np.ravel(value).tolist())
