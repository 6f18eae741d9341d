"""Reads a MetaImage (.mha, or .mhd beside its voxels) with SimpleITK (the extra ``metaimage``)."""

from __future__ import annotations

import re
import tempfile
import warnings
import zlib
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from spinenet.errors import ScanError
from spinenet.readers.space.orientation import Grid
from spinenet.readers.volumes.assembly import check_held, grid_of, whole_volume
from spinenet.readers.volumes.labels import check_values, may_be_labels
from spinenet.storage.causes import scan_error
from spinenet.types import Scan

MAX_HEADER = 64 << 10
"""Most bytes of a header."""

_TYPES = MappingProxyType(
    {
        "MET_CHAR": 1,
        "MET_UCHAR": 1,
        "MET_SHORT": 2,
        "MET_USHORT": 2,
        "MET_INT": 4,
        "MET_UINT": 4,
        "MET_FLOAT": 4,
        "MET_DOUBLE": 8,
    }
)
"""Bytes of a voxel by ElementType."""

_DIRECTIONS = ("TransformMatrix", "Orientation", "Rotation")
_SPACINGS = ("ElementSpacing", "ElementSize")
_ORIGINS = ("Offset", "Position", "Origin")
_HANDED_ON = frozenset(
    (
        *("NDims", "DimSize", "ElementType", "ElementNumberOfChannels", "CenterOfRotation"),
        *("BinaryDataByteOrderMSB", "ElementByteOrderMSB"),
        *(*_DIRECTIONS, *_SPACINGS, *_ORIGINS),
    )
)
"""Keys of a header that are passed to SimpleITK."""

_PACKING = 1032
"""Most bytes that one byte of a zlib stream unpacks to."""

_PLAIN = re.compile(r"[A-Za-z0-9_.+ -]{1,200}")


def is_metaimage(name: str) -> bool:
    """Whether a file's name says MetaImage."""
    return name.lower().endswith((".mha", ".mhd"))


def data_file(data: bytes) -> str | None:
    """Name of the file beside a header that holds its voxels; None where the header's own does.

    Raises
    ------
    ScanError
        unreadable, if there is no header; unsupported_image, if it names several files, or one elsewhere.
    """
    header, _ = _split(data)
    named = header["ElementDataFile"]
    if named.upper() == "LOCAL":
        return None
    if named.upper() == "LIST" or re.search(r"[/\\:%]|^\.", named):
        raise ScanError("unsupported_image", "the voxels are not in one file beside the header")
    return named


def read_metaimage(name: str, files: Mapping[str, bytes], *, labels: bool = False) -> Scan:
    """Read a three-dimensional image.

    Parameters
    ----------
    name
        The header's key among the files, of which only marks such as T2w are used.
    files
        Bytes by name; the voxels' file, if there is one, in the header's folder.
    labels
        Whether a label map is wanted, and not refused.

    Raises
    ------
    ScanError
        unreadable, no_pixels, bad_pixels, unsupported_image, missing_tags, not_sagittal, too_few_slices or
        too_large.
    """
    header, held = _split(files[name])
    digests = [sha256(files[name]).hexdigest()]
    beside = data_file(files[name])
    if beside is not None:
        folder, slash, _ = name.rpartition("/")
        try:
            held = files[f"{folder}{slash}{beside}"]
        except KeyError:
            raise ScanError("no_pixels", "the file of voxels that the header names is not there") from None
        digests.append(sha256(held).hexdigest())
    voxels = _voxels(header, held)
    stored, affine = _load(header, voxels)
    if not labels and may_be_a_label_map_of(files[name], len(files[name] if beside is None else held)):
        check_values(stored)
    return whole_volume(stored, affine, name, digests)


def _split(data: bytes) -> tuple[dict[str, str], bytes]:
    """Split a file into (header values by key, bytes after the header)."""
    last_line = re.search(rb"(?:^|\n)ElementDataFile[ \t]*=[^\n]*\n?", data[:MAX_HEADER])
    if last_line is None:
        raise ScanError("unreadable", "the MetaImage header cannot be read")
    lines = data[: last_line.end()].decode("latin-1").splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}, data[last_line.end() :]


def _true(header: Mapping[str, str], key: str) -> bool:
    return header.get(key, "").lower()[:1] in ("t", "1", "y")


def _states(header: Mapping[str, str], keys: tuple[str, ...], count: int) -> bool:
    """Whether a key has ``count`` finite numbers; SimpleITK would read anything else as zeros or ones."""
    values = [header[key].split() for key in keys if key in header]
    try:
        return bool(values) and all(
            len(words) == count and np.isfinite(list(map(float, words))).all() for words in values
        )
    except ValueError:
        return False


def metaimage_grid(head: bytes, held: int | None = None) -> Grid:
    """The sagittal grid of an image, from its header's text alone.

    Parameters
    ----------
    head
        The first bytes of the file, at least as many as its header has.
    held
        Bytes of the file, or of the one beside it that :func:`data_file` names; None if not known.

    Raises
    ------
    ScanError
        As :func:`read_metaimage`, but for what only the voxels can show.
    """
    header, rest = _split(head)
    if held is not None and data_file(head) is None:
        held -= len(head) - len(rest)
    shape, _ = _checked_claim(header, held)
    directions, spacing = (
        np.array([float(word) for word in next(header[key] for key in keys if key in header).split()])
        for keys in (_DIRECTIONS, _SPACINGS)
    )
    affine = np.eye(4)
    # a row of the matrix is the direction of an axis
    affine[:3, :3] = directions.reshape(3, 3).T * spacing
    return grid_of(affine, shape)


def may_be_a_label_map_of(head: bytes, n_bytes: int) -> bool:
    """Whether an image may be a label map, which only its voxels show.

    Parameters
    ----------
    head
        As for :func:`metaimage_grid`.
    n_bytes
        Size in bytes of the file that holds the voxels, as stored.
    """
    header, _ = _split(head)
    shape, itemsize = _claimed(header)
    return may_be_labels(int(np.prod(np.array(shape, dtype=object))), itemsize, n_bytes)


def _claimed(header: Mapping[str, str]) -> tuple[list[int], int]:
    """(voxels along each axis, bytes of a voxel) of a header that describes one volume."""
    sizes = re.findall(r"-?\d+", header.get("DimSize", ""))
    if header.get("NDims") != "3" or len(sizes) != 3:
        raise ScanError("unsupported_image", "the image is not one volume of three axes")
    if header.get("ElementType") not in _TYPES or header.get("ElementNumberOfChannels", "1") != "1":
        raise ScanError("unsupported_image", "the voxels are colours, or of a type that is not read")
    if not _true(header, "BinaryData") and "BinaryData" in header:
        raise ScanError("unsupported_image", "the voxels are written as text")
    for keys, count in ((_DIRECTIONS, 9), (_SPACINGS, 3), (_ORIGINS, 3)):
        if not _states(header, keys, count):
            raise ScanError("missing_tags", f"the image states no {keys[0]}, or not in {count} numbers")
    return [int(size) for size in sizes], _TYPES[header["ElementType"]]


def _checked_claim(header: Mapping[str, str], held: int | None) -> tuple[list[int], int]:
    """As :func:`_claimed`, once the claim is seen to fit the bytes stored for the voxels, if known."""
    shape, itemsize = _claimed(header)
    if _skipped(header) not in ("0", "-1"):
        raise ScanError("unsupported_image", "the voxels lie behind a header of another format")
    if held is not None and _true(header, "CompressedData"):
        held = max(held, 0) * _PACKING
    check_held(shape, itemsize, held)
    return shape, itemsize


def _skipped(header: Mapping[str, str]) -> str:
    return header.get("HeaderSize", "0")


def _voxels(header: Mapping[str, str], held: bytes) -> bytes:
    """The voxels' bytes, unpacked, once the header's claim is seen to fit them."""
    shape, itemsize = _checked_claim(header, len(held))
    needed = int(np.prod(shape)) * itemsize
    if _true(header, "CompressedData"):
        held = _unpacked(held, needed)
        check_held(shape, itemsize, len(held))
    return held[-needed:] if _skipped(header) == "-1" else held[:needed]


def _unpacked(packed: bytes, size: int) -> bytes:
    # SimpleITK would accept a broken stream and return uninitialised memory
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(packed, size)
    except zlib.error:
        raise ScanError("bad_pixels", "the voxels cannot be unpacked") from None


def _load(
    header: Mapping[str, str], voxels: bytes
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """((3-D) values along the axes i, j, k, affine to LPS in mm)."""
    sitk = _library()
    handed = {key: value for key, value in header.items() if key in _HANDED_ON and _PLAIN.fullmatch(value)}
    text = "".join(f"{key} = {value}\n" for key, value in handed.items())
    with tempfile.TemporaryDirectory() as folder:
        # SimpleITK reads only files
        path = Path(folder) / "image.mha"
        begin = f"ObjectType = Image\n{text}BinaryData = True\nElementDataFile = LOCAL\n"
        path.write_bytes(begin.encode() + voxels)
        try:
            image = sitk.ReadImage(str(path), sitk.sitkUnknown, "MetaImageIO")
            stored = sitk.GetArrayFromImage(image).astype(np.float32).transpose(2, 1, 0)
            directions = np.array(image.GetDirection(), dtype=np.float64).reshape(3, 3)
            affine = np.eye(4)
            affine[:3, :3] = directions * np.array(image.GetSpacing())
            affine[:3, 3] = image.GetOrigin()
        except Exception as error:
            detail = f"the MetaImage cannot be read ({type(error).__name__})"
            raise scan_error(error) or ScanError("unreadable", detail) from None
    return stored, affine


def _library() -> Any:
    try:
        with warnings.catch_warnings():
            # SimpleITK's bindings raise a DeprecationWarning on import
            warnings.simplefilter("ignore", DeprecationWarning)
            import SimpleITK
    except ImportError:
        detail = "MetaImage needs SimpleITK: pip install 'spinenet[metaimage]'"
        raise ScanError("package_missing", detail) from None
    return SimpleITK
