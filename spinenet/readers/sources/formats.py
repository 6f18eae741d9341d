"""Recognises file formats that are not read, by first bytes or name, with advice for each."""

from __future__ import annotations

import posixpath

from spinenet.errors import ScanError

HEAD = 512
"""Number of a file's first bytes that show its format."""

_UNPACK = "unpack it, or pack it as zip or tar"
CLOSED = "an archive that is not opened where it lies: name it as the path, or unpack it"
"""Description of an archive that lies beside other files, or is nested too deep."""

_CONVERT = "convert it to DICOM, NIfTI or MetaImage"

_BY_CONTENT: tuple[tuple[int, bytes, str], ...] = (
    (0, b"7z\xbc\xaf\x27\x1c", f"a 7z archive: {_UNPACK}"),
    (0, b"Rar!\x1a\x07", f"a RAR archive: {_UNPACK}"),
    (0, b"\x28\xb5\x2f\xfd", f"packed with zstd: {_UNPACK}"),
    (0, b"\x04\x22\x4d\x18", f"packed with lz4: {_UNPACK}"),
    (0, b"\x1f\x9d", f"packed with compress: {_UNPACK}"),
    (0, b"LZIP", f"packed with lzip: {_UNPACK}"),
    (0, b"MSCF\0\0\0\0", f"a cabinet archive: {_UNPACK}"),
    (0, b"070701", f"a cpio archive: {_UNPACK}"),
    (0, b"NRRD000", f"a NRRD image: {_CONVERT}"),
    (0, b"CDF\x01", f"a MINC 1 or NetCDF file: {_CONVERT}"),
    (0, b"CDF\x02", f"a MINC 1 or NetCDF file: {_CONVERT}"),
    (0, b"\x89HDF\r\n\x1a\n", f"an HDF5 file, such as MINC 2 or raw data: {_CONVERT}"),
    (0, b"mrtrix image", f"an MRtrix image: {_CONVERT}"),
    (0, b"# === DATA DESCRIPTION FILE", f"the header of a Philips PAR/REC image: {_CONVERT}"),
    (0, b"# vtk DataFile", f"a VTK file: {_CONVERT}"),
    (0, b"\x93NUMPY", f"an array of NumPy: {_CONVERT}"),
    (0, b"version https://git-lfs", "a pointer of Git LFS: fetch its content with git lfs pull"),
    (0, b"/annex/objects/", "a pointer of git-annex: fetch its content with datalad get"),
    (344, b"n+1\0", "a NIfTI image with another name: let it end in .nii, or .nii.gz"),
    (4, b"n+2\0\r\n\x1a\n", "a NIfTI image with another name: let it end in .nii, or .nii.gz"),
)
"""(offset, bytes at it, description of the file and advice)."""

_BY_NAME: tuple[tuple[tuple[str, ...], str], ...] = (
    ((".7z", ".rar", ".zst", ".lz4", ".lz", ".lzma", ".z", ".cab", ".ace", ".arj"), f"an archive: {_UNPACK}"),
    (
        (".iso", ".img", ".dmg", ".vhd", ".nrg"),
        "an image of a disc, or one without its header: copy its files",
    ),
    (
        (".nrrd", ".nhdr", ".mnc", ".minc", ".mgh", ".mgz", ".mif", ".mih"),
        f"an image that is not read: {_CONVERT}",
    ),
    (
        (".par", ".rec", ".brik", ".head", ".vti", ".vtk", ".gipl", ".v3d", ".fdf"),
        f"an image that is not read: {_CONVERT}",
    ),
    ((".npy", ".npz", ".nia", ".vista", ".ima.gz"), f"an image that is not read: {_CONVERT}"),
)
"""(endings of names, description and advice), for files whose first bytes are not recognised."""


def unread_format(name: str, head: bytes) -> str | None:
    """Describe a file of a format that is not read, with advice; None if its format is not recognised.

    Parameters
    ----------
    name
        Name of the file.
    head
        The file's first :data:`HEAD` bytes.
    """
    for offset, magic, description in _BY_CONTENT:
        if head.startswith(magic, offset):
            return description
    lower = posixpath.basename(name).lower()
    if lower == "2dseq":
        return f"a Bruker image: {_CONVERT}"
    return next((description for endings, description in _BY_NAME if lower.endswith(endings)), None)


def unsupported(what: str, *, among_others: bool = False) -> ScanError:
    """The error of a file of such a format, or of a path that holds one and no image."""
    detail = f"no file is an image, and one is {what}" if among_others else f"the file is {what}"
    return ScanError("unsupported_format", detail)
