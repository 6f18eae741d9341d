"""Small DICOM series, archives and images on disk, and what is found in them."""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import nibabel
import numpy as np
import pydicom

from spinenet.index.places import find_places
from spinenet.index.rows import Row
from spinenet.index.survey import Survey, survey
from spinenet.synthetic.dicom import uid_from, write_series
from spinenet.types import Scan

LOCAL = fsspec.filesystem("file")


def make_scan(shape: tuple[int, int, int] = (12, 10, 4), sequence: str = "T2", seed: int = 0) -> Scan:
    """Sagittal, without any symmetry."""
    volume = np.random.default_rng(seed).integers(0, 4000, shape).astype(np.float32)
    affine = np.array([[0, 0, 4.4, -30.0], [0, 0.6, 0, -100.0], [-0.7, 0, 0, 200.0], [0, 0, 0, 1]])
    return Scan(volume, (0.7, 0.6), 4.4, affine, sequence)


def series(
    folder: Path,
    uid: str = "1.2.3",
    shape: tuple[int, int, int] = (12, 10, 4),
    sequence: str = "T2",
    description: str = "t2 sag lumbar",
    patient: str = "p1",
    seed: int = 0,
) -> list[Path]:
    """One file a slice, named after the series."""
    written = write_series(
        folder,
        make_scan(shape, sequence, seed),
        patient_id=patient,
        study_uid=uid_from("study", patient),
        series_uid=uid,
        description=description,
    )
    return [path.rename(path.with_name(f"{uid}-{path.name}")) for path in written]


def edit(paths: list[Path], change: Callable[[pydicom.Dataset], None]) -> None:
    """Change each file and write it as it then is, valid or not."""
    for path in paths:
        dataset = pydicom.dcmread(path)
        change(dataset)
        dataset.save_as(path, enforce_file_format=False)


def packed(paths: list[Path], archive: Path) -> Path:
    """The files in an archive, instead of where they lay."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
            for path in paths:
                opened.write(path, f"inner/{path.name}")
    else:
        with tarfile.open(archive, "w" if archive.suffix == ".tar" else "w:gz") as tar:
            for path in paths:
                tar.add(path, f"inner/{path.name}")
    for path in paths:
        path.unlink()
    return archive


def tar_of(members: dict[str, bytes]) -> bytes:
    """A plain tar in memory, with whatever names."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def nifti(path: Path, shape: tuple[int, int, int] = (5, 16, 20)) -> Path:
    """A sagittal image: its first axis runs from left to right."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(np.zeros(shape, np.int16), np.diag([4.4, 0.6, 0.7, 1.0]))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path


def metaimage(path: Path, shape: tuple[int, int, int] = (5, 16, 20), packed: bool = False) -> list[Path]:
    """A sagittal image, its voxels in the same file (.mha) or beside it (.mhd)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.arange(np.prod(shape), dtype="<i2").tobytes()
    voxels = zlib.compress(voxels) if packed else voxels
    beside = path.with_suffix(".zraw" if packed else ".raw")
    header = (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
        f"CompressedData = {packed}\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\n"
        f"ElementSpacing = 4.4 0.6 0.7\nDimSize = {shape[0]} {shape[1]} {shape[2]}\nElementType = MET_SHORT\n"
        f"ElementDataFile = {'LOCAL' if path.suffix == '.mha' else beside.name}\n"
    ).encode()
    if path.suffix == ".mha":
        path.write_bytes(header + voxels)
        return [path]
    path.write_bytes(header)
    beside.write_bytes(voxels)
    return [path, beside]


def surveys(root: Path | str, fs: object = LOCAL) -> Iterator[Survey]:
    """Of every place below a root."""
    return (survey(fs, place) for place in find_places(fs, str(root)))


def rows_of(root: Path | str, fs: object = LOCAL) -> list[Row]:
    """Of every place below a root."""
    return [row for found in surveys(root, fs) for row in found.rows]


def only(root: Path | str, fs: object = LOCAL) -> Row:
    """The only row below a root."""
    (row,) = rows_of(root, fs)
    return row
