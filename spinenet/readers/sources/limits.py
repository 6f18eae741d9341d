"""Limits of one path, enforced while its files are unpacked, as a few bytes can unpack to any number."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO

from spinenet.errors import ScanError
from spinenet.types import MAX_VOXELS, square_voxels

MAX_FILES = 20_000
"""Most files of a path, or members of an archive."""

MAX_BYTES = 2 << 30
"""Most bytes of a path's files together, as stored."""

MAX_UNPACKED = 320 << 20
"""Bytes that the compressed files of one path unpack to: a series of the most voxels that there may be takes
256 MiB as float32, and unpacking takes as much again."""

PIXEL_MM = (0.01, 100.0)
"""Shortest and longest edge of a voxel in mm; a number beyond is a fault of the header."""

FIELD_MM = 3000.0
"""Longest side of a slice in mm: longer than a person, as composed scans show the whole body."""

SLICES_MM = 1000.0
"""Longest distance from the first slice to the last in mm: wider than the bore of any scanner."""

PIXEL_RATIO = 20.0
"""Largest ratio of a pixel's edges: scanners make nearly square ones, and resampling longer ones to square
pixels would leave little but interpolated values."""

ARCHIVE_GAIN = 8
"""Bytes that a byte of an archive can stand for, beyond the first :data:`MAX_UNPACKED`: those of real scans
stand for two to five."""

_PIECE = 16 << 20

GZIP_MAGIC = b"\x1f\x8b"
"""First bytes of a gzip'd file."""

_GZIP = 31
"""``wbits`` of a gzip stream in :mod:`zlib`."""


def check_total(files: int, size: int) -> None:
    """Refuse more files or bytes than one path may hold.

    Raises
    ------
    ScanError
        too_large.
    """
    if files > MAX_FILES:
        raise ScanError("too_large", f"the path holds {files} files; the most is {MAX_FILES}")
    if size > MAX_BYTES:
        raise ScanError("too_large", f"the files hold {size >> 20} MiB; the most is {MAX_BYTES >> 20} MiB")


def check_unpacked(size: int, packed: int = 0) -> None:
    """Refuse more bytes than packed files may unpack to.

    Parameters
    ----------
    size
        Number of bytes that were, or would be, unpacked.
    packed
        Bytes of the archive that holds it as they are stored; 0 for files that are packed themselves.

    Raises
    ------
    ScanError
        too_large.
    """
    most = min(MAX_BYTES, MAX_UNPACKED + ARCHIVE_GAIN * packed)
    if size > most:
        raise ScanError("too_large", f"the files unpack to more than {most >> 20} MiB")


@dataclass
class UnpackedTotal:
    """What the packed files of one path unpack to together: each is within the limit, and so must they be.

    Attributes
    ----------
    size
        Bytes so far.
    """

    size: int = 0

    def add(self, size: int) -> None:
        """Count bytes as they are unpacked; errors as :func:`check_unpacked`."""
        self.size += size
        check_unpacked(self.size)


def check_voxels(voxels: float, what: str = "the series has") -> None:
    """Refuse more voxels than a series may have; ``what`` begins the sentence.

    Raises
    ------
    ScanError
        too_large.
    """
    # NaN and infinity fail this comparison too
    if not voxels <= MAX_VOXELS:
        count = f"{int(voxels) >> 20} Mi" if voxels < 1e15 else "countless"
        raise ScanError("too_large", f"{what} {count} voxels; the most is {MAX_VOXELS >> 20} Mi")


def check_grid(shape: tuple[int, int, int], pixel_spacing: tuple[float, float], slice_spacing: float) -> None:
    """Refuse a grid with impossible lengths, or with too many voxels once its pixels are square.

    Parameters
    ----------
    shape
        (rows, columns, slices) of the scan.
    pixel_spacing
        (row, column) mm.
    slice_spacing
        Distance between slices in mm.

    Raises
    ------
    ScanError
        missing_tags or too_large.
    """
    check_voxels(math.prod(shape))
    check_lengths(pixel_spacing)
    check_voxels(square_voxels(shape, pixel_spacing), "with square pixels the series has")
    row, column = pixel_spacing
    _check_extent("a slice", max(shape[0] * row, shape[1] * column), FIELD_MM)
    _check_extent("the slices together", shape[2] * slice_spacing, SLICES_MM)
    if max(pixel_spacing) > PIXEL_RATIO * min(pixel_spacing):
        edges = f"{row:.3g} by {column:.3g} mm"
        raise ScanError(
            "missing_tags", f"a pixel is {edges}; one edge is at most {PIXEL_RATIO:g} times the other"
        )


def _check_extent(what: str, length: float, most: float) -> None:
    # NaN fails this comparison too
    if not length <= most:
        detail = f"by its spacings {what} would be {length / 1000:.3g} m long; the most is {most / 1000:g} m"
        raise ScanError("too_large", detail)


def check_lengths(lengths: Iterable[float], what: str = "PixelSpacing") -> None:
    """Refuse edges of voxels, in mm, that are none of a scan; ``what`` states them.

    Raises
    ------
    ScanError
        missing_tags.
    """
    least, most = PIXEL_MM
    for length in lengths:
        if not least <= length <= most:
            detail = f"{what} is {length:.3g} mm; voxels are {least:g} to {most:g} mm long"
            raise ScanError("missing_tags", detail)


def gunzip(data: bytes, *, whole: bool = True, total: UnpackedTotal | None = None) -> bytes:
    """Decompress gzip'd bytes; parameters and errors as :func:`inflate`."""
    return inflate(data, _GZIP, whole=whole, total=total)


def inflate(data: bytes, wbits: int, *, whole: bool = True, total: UnpackedTotal | None = None) -> bytes:
    """Decompress a zlib stream to at most :data:`MAX_UNPACKED`.

    Parameters
    ----------
    data, wbits
        The stream, and its kind as in :mod:`zlib`.
    whole
        Whether the stream must not end early.
    total
        Of the path that the stream belongs to, where its other files are unpacked too.

    Raises
    ------
    ScanError
        too_large or unreadable.
    """
    stream = zlib.decompressobj(wbits)
    unpacked, rest = BytesIO(), data
    total = UnpackedTotal() if total is None else total
    try:
        while not stream.eof and (piece := stream.decompress(rest, _PIECE)):
            unpacked.write(piece)
            rest = stream.unconsumed_tail
            total.add(len(piece))
    except zlib.error:
        raise ScanError("unreadable", "the compressed file is broken") from None
    if whole and not stream.eof:
        raise ScanError("unreadable", "the compressed file ends too early")
    # a list of pieces would be there twice while it is joined
    return unpacked.getvalue()


def gunzipped_head(data: bytes, size: int) -> bytes:
    """The first ``size`` bytes that a gzip'd file unpacks to; fewer, even none, where it is broken."""
    try:
        return zlib.decompressobj(_GZIP).decompress(data[: 4 * size + 4096], size)
    except zlib.error:
        return b""
