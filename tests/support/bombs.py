"""Bombs: small files that ask for much. tests/readers/look_at_bombs.py measures what they come to."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pydicom
from pydicom.encaps import encapsulate
from pydicom.uid import UID, JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from support.small_scans import make_scan, save

BODY_TAGS = ((0x0008, 0x0016, b"UI", b"1.2.840.10008.5.1.4.1.1.4\0"), (0x0008, 0x0060, b"CS", b"MR"))
ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0)
NEVER = struct.pack("<I", 0xFFFFFFFF)
SEQUENCE_END = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def element(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    """A data element in explicit little endian."""
    if vr in (b"OB", b"SQ", b"UT"):
        return struct.pack("<HH2sHI", group, number, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", group, number, vr, len(value)) + value


def sequence(group: int, number: int) -> bytes:
    """The beginning of a sequence without a length."""
    return struct.pack("<HH2sH", group, number, b"SQ", 0) + NEVER


def beginning(syntax: str) -> bytes:
    """Preamble and meta header."""
    uid = element(2, 0x10, b"UI", syntax.encode() + b"\0" * (len(syntax) % 2))
    return b"\0" * 128 + b"DICM" + element(2, 0, b"UL", struct.pack("<I", len(uid))) + uid


BODY = b"".join(element(*tag) for tag in BODY_TAGS) + element(0x20, 0x0E, b"UI", b"1.2.3.4.")


Piece = tuple[bytes, int]
"""Bytes, and how often they follow one another."""

MEBIBYTE = bytes(1 << 20)


def squeezed(pieces: Iterable[Piece]) -> Iterator[bytes]:
    """A deflated stream; what is repeated is packed once."""
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    for piece, times in pieces:
        # what follows a full flush refers to nothing before it
        before = squeezer.flush(zlib.Z_FULL_FLUSH)
        yield before + (squeezer.compress(piece) + squeezer.flush(zlib.Z_FULL_FLUSH)) * times
    yield squeezer.flush()


def deflated(path: Path, pieces: Iterable[Piece]) -> None:
    """A file in the deflated transfer syntax."""
    with path.open("wb") as file:
        file.write(beginning("1.2.840.10008.1.2.1.99"))
        file.writelines(squeezed(((BODY, 1), *pieces)))


def gzipped(path: Path, pieces: Sequence[Piece]) -> None:
    """A gzip'd file."""
    check = size = 0
    for piece, times in pieces:
        size += len(piece) * times
        for _ in range(times):
            check = zlib.crc32(piece, check)
    with path.open("wb") as file:
        file.write(b"\x1f\x8b\x08" + bytes(6) + b"\xff")
        file.writelines(squeezed(pieces))
        file.write(struct.pack("<II", check, size & 0xFFFFFFFF))


def series(folder: Path, change: Callable[[pydicom.Dataset], None]) -> None:
    """Three slices with something changed."""
    for path in save(folder, make_scan((20, 16, 3))):
        dataset = pydicom.dcmread(path)
        change(dataset)
        dataset.save_as(path, enforce_file_format=False)


def setting(**tags: object) -> Callable[[pydicom.Dataset], None]:
    """Tags that are given other values."""

    def change(dataset: pydicom.Dataset) -> None:
        for keyword, value in tags.items():
            setattr(dataset, keyword, value)

    return change


def compressed(syntax: str, encoded: bytes, **tags: object) -> Callable[[pydicom.Dataset], None]:
    """Pixels that are a codestream."""

    def change(dataset: pydicom.Dataset) -> None:
        setting(**tags)(dataset)
        dataset.file_meta.TransferSyntaxUID = UID(syntax)
        dataset.PixelData = encapsulate([encoded])
        dataset["PixelData"].is_undefined_length = True

    return change


def jpeg_2000(size: int, components: int = 1) -> bytes:
    """An image of one tile without any packet."""
    claim = struct.pack(">HIIIIIIIIH", 0, size, size, 0, 0, size, size, 0, 0, components)
    claim += b"\x0f\x01\x01" * components
    style = struct.pack(">BBHBBBBBB", 0, 0, 1, 0, 5, 4, 4, 0, 1)
    steps = bytes([0x40]) + bytes([0x70] * 16)
    found = b"\xff\x4f"
    for marker, value in ((0x51, claim), (0x52, style), (0x5C, steps)):
        found += bytes([0xFF, marker]) + struct.pack(">H", len(value) + 2) + value
    return found + b"\xff\x90" + struct.pack(">HHIBB", 10, 0, 15, 0, 1) + b"\xff\x93\0\xff\xd9"


def zip_of_many(path: Path, members: int) -> None:
    """An archive's directory of so many members, of which there is one."""
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 0, 0, 0, 0, 1, 0) + b"a"
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 3, 20, 0, *[0] * 7, 1, *[0] * 6) + b"a"
    size = len(entry) * members
    with path.open("wb") as file:
        file.write(local + entry * members)
        file.write(struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, members, members, size, len(local)))
        file.write(struct.pack("<4sLQL", b"PK\6\7", 0, len(local) + size, 1))
        file.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 65535, 65535, 2**32 - 1, 2**32 - 1, 0))


def zip_in(path: Path, name: str, data: bytes, copies: int = 1) -> None:
    """An archive with a packed member, or the same several times."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(copies):
            archive.writestr(f"{number}{name}", data)


def nifti(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> bytes:
    """A sagittal image's header."""
    import nibabel

    header = nibabel.Nifti1Header()
    header.set_data_shape(shape)
    header.set_data_dtype(np.int16)
    header.set_xyzt_units("mm")
    affine = np.zeros((4, 4))
    affine[0, 2], affine[1, 1], affine[2, 0], affine[3, 3] = spacing[2], -spacing[1], -spacing[0], 1
    header.set_sform(affine, 1)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    return bytes(header.binaryblock) + bytes(4)


def _squeezed_bombs(folder: Path, dicom: bytes, much: int, many: int) -> None:
    """Files that are packed, of so many MiB, elements or items."""
    at = folder.joinpath
    gzipped(at("gzip.dcm.gz"), ((dicom, 1), (MEBIBYTE, much)))
    gzipped(at("gzip.nii.gz"), ((nifti((4096, 4096, 16), (0.07, 0.07, 4.0)), 1), (MEBIBYTE, much)))
    deflated(at("deflated.dcm"), ((MEBIBYTE, much),))
    items = (ITEM * 10_000, many // 10_000)
    for name, tag in (
        ("items_wanted.dcm", (0x5200, 0x9230)),
        ("items_of_regions.dcm", (0x0008, 0x2218)),
        ("items_unwanted.dcm", (0x0040, 0x0275)),
    ):
        deflated(at(name), ((sequence(*tag), 1), items, (SEQUENCE_END, 1)))
    known = element(0x5200, 0x9230, b"SQ", ITEM * (many // 4))
    deflated(at("items_of_known_length.dcm"), ((known, 1),))
    empty = b"".join(
        struct.pack("<HH2sH", 0x0009 + 2 * (i >> 16), i & 0xFFFF, b"LO", 0) for i in range(65536)
    )
    deflated(at("elements.dcm"), ((empty, max(2, many // 65536)),))
    text = element(0x0008, 0x103E, b"UT", b"\\" * (many // 2 * 2))
    deflated(at("backslashes.dcm"), ((text, 1),))
    deeper = sequence(0x5200, 0x9230) + ITEM[:4] + NEVER
    at("nested.dcm").write_bytes(beginning("1.2.840.10008.1.2.1") + BODY + deeper * 100_000)
    for name, pack in (("xz", lzma.compress), ("bzip2", bz2.compress)):
        at(name).mkdir()
        packed = pack(dicom + MEBIBYTE * min(much, 200))
        for number in range(20):
            (at(name) / f"{number}.dcm").write_bytes(packed)


def _archived_bombs(folder: Path, dicom: bytes, much: int, scale: int) -> None:
    """Archives."""
    inner = folder / "inner.gz"
    gzipped(inner, ((dicom, 1), (MEBIBYTE, min(much, 300))))
    zip_in(folder / "gzip_in_zip.zip", ".dcm.gz", inner.read_bytes(), copies=50)
    inner.unlink()
    zip_in(folder / "zip.zip", ".dcm", dicom + MEBIBYTE * min(much, 1024))
    zip_of_many(folder / "zip_of_many.zip", max(60_000, 1_500_000 // scale))
    info = tarfile.TarInfo("d")
    info.type = tarfile.DIRTYPE
    header = info.tobuf(tarfile.USTAR_FORMAT) * 10_000
    gzipped(folder / "folders.tar.gz", ((header, max(6, 150 // scale)), (bytes(1024), 1)))


def _claims(folder: Path) -> None:
    """Headers that claim much of few bytes."""
    at = folder.joinpath
    series(at("rows_and_columns"), setting(Rows=65535, Columns=65535))
    series(at("frames"), setting(NumberOfFrames=2**31 - 1))
    series(at("anisotropic"), setting(PixelSpacing=[0.011, 90.0]))
    series(at("anisotropic_1000"), setting(PixelSpacing=[0.02, 20.0]))
    row = b"\0\1" * (20 * 60_000)
    series(at("strip"), setting(Rows=20, Columns=60_000, PixelSpacing=[1.0, 1.0], PixelData=row))
    series(at("spacing_1e-300"), setting(PixelSpacing=[1e-300, 1e-300]))
    series(at("spacing_1e300"), setting(PixelSpacing=[1e300, 1e300]))
    series(at("position_1e308"), setting(ImagePositionPatient=[1e308, -1e308, 1e308]))
    at("claims.nii").write_bytes(nifti((32767, 32767, 32767), (1, 1, 4)) + bytes(1000))
    small = nifti((512, 512, 8), (0.011, 80.0, 90.0)) + bytes(512 * 512 * 8 * 2)
    at("anisotropic.nii.gz").write_bytes(gzip.compress(small))


def fragments(count: int) -> Callable[[pydicom.Dataset], None]:
    """Pixels in so many empty fragments, and one that is not."""

    def change(dataset: pydicom.Dataset) -> None:
        compressed(JPEGLSLossless, b"\0\0")(dataset)
        dataset.PixelData = ITEM * count + dataset.PixelData

    return change


def _codestreams(folder: Path, n_fragments: int) -> None:
    """Compressed pixels that are not what the header says, or too many."""
    at = folder.joinpath
    series(at("fragments"), fragments(n_fragments))
    series(at("unknown_syntax"), compressed("1.2.840.113619.5.2.99", b"\0" * 64))
    runs = b"\x81\x00" * (9000 * 9000 // 128 + 1)
    segments = struct.pack("<16I", 2, 64, 64 + len(runs), *[0] * 13) + runs * 2
    series(at("rle_9000"), compressed(RLELossless, segments, Rows=9000, Columns=9000))
    series(at("j2k_9000"), compressed(JPEG2000Lossless, jpeg_2000(9000), Rows=9000, Columns=9000))
    series(at("j2k_4000"), compressed(JPEG2000Lossless, jpeg_2000(4000), Rows=4000, Columns=4000))
    many = compressed(JPEG2000Lossless, jpeg_2000(2048, 16000), Rows=2048, Columns=2048)
    series(at("j2k_components"), many)
    start = struct.pack(">HBHHBBBB", 11, 16, 65500, 65500, 1, 1, 0x11, 0)
    series(at("jpeg_65500"), compressed(JPEGLosslessSV1, b"\xff\xd8\xff\xc3" + start + bytes(4000)))
    # a decoder that looks for the size's mark finds that of a comment, which the header agrees with
    honest = b"\xff\x4f\xff\x51" + struct.pack(">HHIIII", 47, 0, 16, 20, 0, 0) + bytes(40)
    comment = b"\xff\xd8\xff\xfe" + struct.pack(">H", len(honest) + 2) + honest
    table = b"\xff\xc4" + struct.pack(">HB", 20, 0) + bytes([1, *[0] * 15, 0])
    scan = b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, 1, 0, 0) + bytes(2000) + b"\xff\xd9"
    series(at("jpeg_hidden"), compressed(JPEGLosslessSV1, comment + b"\xff\xc3" + start + table + scan))
    scan = b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, 0, 0, 0) + bytes(4000) + b"\xff\xd9"
    series(at("jpegls_hidden"), compressed(JPEGLSLossless, comment + b"\xff\xf7" + start + scan))
    series(at("j2k_hidden"), compressed(JPEG2000Lossless, _boxed(honest, jpeg_2000(40000))))


def _boxed(told: bytes, stream: bytes) -> bytes:
    """A codestream in the boxes of a JP2 file, behind one with something else in it."""
    boxes = (
        (b"jP  ", b"\r\n\x87\n"),
        (b"ftyp", b"jp2 " + bytes(4) + b"jp2 "),
        (b"xml ", told),
        (b"jp2c", stream),
    )
    return b"".join(struct.pack(">I4s", 8 + len(value), name) + value for name, value in boxes)


def write_bombs(folder: Path, scale: int = 1) -> list[Path]:
    """Make every bomb; ``scale`` divides those that take long to write.

    Returns
    -------
    list of Path
        Files and folders.
    """
    dicom = save(folder / "good", make_scan((20, 16, 3)))[0].read_bytes()
    much, many = max(1, 4096 // scale), max(60_000, 20_000_000 // scale)
    _squeezed_bombs(folder, dicom, much, many)
    _archived_bombs(folder, dicom, much, scale)
    _claims(folder)
    _codestreams(folder, max(200_000, 8_000_000 // scale))
    return sorted(path for path in folder.iterdir() if path.name != "good")
