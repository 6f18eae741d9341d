"""Small files that ask for much fail alone: the scans beside them get the rows that they get without."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGLosslessSV1

from spinenet.cohort.tables import TABLES
from spinenet.types import Scan
from support.cohorts import small_scan, spinenet, tables, write

GOOD = 8
ZEROS = bytes(16 << 20)
ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0)


def _gzip(folder: Path, scan: Scan) -> None:
    """A slice behind which 4 GiB of zeros unpack."""
    folder.mkdir()
    first = write(folder / "whole", scan, "gzip")[0].read_bytes()
    squeezer = zlib.compressobj(6, zlib.DEFLATED, 31)
    with (folder / "bomb.dcm.gz").open("wb") as file:
        for piece in (first, *[ZEROS] * 256):
            file.write(squeezer.compress(piece))
        file.write(squeezer.flush())
    for path in (folder / "whole").iterdir():
        path.unlink()
    (folder / "whole").rmdir()


def _items(folder: Path, scan: Scan) -> None:
    """A sequence of 20 million empty items, as 250 kB."""
    first = write(folder, scan, "items")[0]
    dataset = pydicom.dcmread(first)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    del dataset.PixelData
    dataset.save_as(first, enforce_file_format=True)
    whole = first.read_bytes()
    body = 144 + struct.unpack("<I", whole[140:144])[0]
    squeezer = zlib.compressobj(6, zlib.DEFLATED, -15)
    sequence = struct.pack("<HH2sHI", 0x5200, 0x9230, b"SQ", 0, 0xFFFFFFFF)
    with first.open("wb") as file:
        file.write(whole[:body])
        for piece in (zlib.decompress(whole[body:], -15), sequence, *[ITEM * (1 << 20)] * 20):
            file.write(squeezer.compress(piece))
        file.write(squeezer.flush())


def _hidden_size(folder: Path, scan: Scan) -> None:
    """JPEG of 65500 x 65500 pixels in a header of a small slice, behind a comment that says otherwise."""
    for path in write(folder, scan, "hidden"):
        dataset = pydicom.dcmread(path)
        told = struct.pack(">HHIIII", 47, 0, dataset.Columns, dataset.Rows, 0, 0) + bytes(40)
        comment = b"\xff\x4f\xff\x51" + told
        stream = b"\xff\xd8\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment
        stream += b"\xff\xc3" + struct.pack(">HBHHBBBB", 11, 16, 65500, 65500, 1, 1, 0x11, 0)
        stream += b"\xff\xc4" + struct.pack(">HB", 20, 0) + bytes([1, *[0] * 15, 0])
        stream += b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, 1, 0, 0) + bytes(2000) + b"\xff\xd9"
        dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
        dataset.PixelData = encapsulate([stream])
        dataset["PixelData"].is_undefined_length = True
        dataset.save_as(path)


def _claims(folder: Path, scan: Scan) -> None:
    """Slices of 65535 x 65535 pixels, whose bytes are those of small ones."""
    for path in write(folder, scan, "claims"):
        dataset = pydicom.dcmread(path)
        dataset.Rows = dataset.Columns = 65535
        dataset.save_as(path)


BOMBS = {
    "gzip": (_gzip, "too_large", "unpack to more than"),
    "items": (_items, "too_large", "more than 100000 elements"),
    "hidden": (_hidden_size, "bad_pixels", "65500"),
    "claims": (_claims, "too_large", "voxels; the most is"),
}
"""How each is made, and the reason and the words that its row must have."""


def _run(folder: Path, name: str, ids: list[str]) -> Path:
    manifest, out = folder / f"{name}.csv", folder / name
    lines = ["scan_id,path", *(f"{scan_id},{scan_id}" for scan_id in ids)]
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    ran = spinenet("run", manifest, out, "--weights", "synthetic", "--shard-size", "3", "--no-prefect")
    assert ran.returncode == (3 if set(ids) & set(BOMBS) else 0), ran.stderr
    return out


def _of(table: pd.DataFrame, ids: list[str]) -> pd.DataFrame:
    return table[table["scan_id"].isin(ids)].reset_index(drop=True)


@pytest.mark.slow
def test_scans_beside_bombs_are_done(tmp_path: Path) -> None:
    good = [f"good-{number}" for number in range(GOOD)]
    for number, name in enumerate(good):
        write(tmp_path / name, small_scan(number % 3, gain=1 - 0.02 * number), name)
    for name, (make, _, _) in BOMBS.items():
        make(tmp_path / name, small_scan(0))
    # among the others, so that each of the bombs lies in a shard with good scans
    mixed = [name for pair in zip(good[::2], good[1::2], BOMBS, strict=True) for name in pair]
    beside, alone = tables(_run(tmp_path, "beside", mixed)), tables(_run(tmp_path, "alone", good))

    scans = beside["scans"].set_index("scan_id")
    assert (scans.loc[good, "status"] == "done").all()
    for name, (_, reason, said) in BOMBS.items():
        assert (scans.loc[name, "status"], scans.loc[name, "reason"]) == ("failed", reason), scans.loc[name]
        assert said in str(scans.loc[name, "detail"])
    assert len(scans) == GOOD + len(BOMBS)
    for name in TABLES:
        # a column of which a failed scan has nothing is read as one of floating-point numbers
        pd.testing.assert_frame_equal(
            _of(beside[name], good), alone[name], check_exact=True, check_dtype=False
        )
        assert np.isin(beside[name]["scan_id"], mixed).all()
