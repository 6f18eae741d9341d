"""Series and archives of every encoding, and ways to damage them at random."""

from __future__ import annotations

import gzip
import io
import random
import struct
import tempfile
from functools import cache
from pathlib import Path

import nibabel
import numpy as np
import pydicom

from support.odd_files import ODD
from support.small_scans import make_scan

Files = dict[str, bytes]
_WORDS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
_NUMBERS = (
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("SamplesPerPixel", "NumberOfFrames", "PlanarConfiguration"),
)
_TEXTS = (
    *("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "SliceThickness", "RescaleSlope"),
    *("RescaleIntercept", "PhotometricInterpretation", "InstanceNumber", "Modality", "SeriesInstanceUID"),
    *("SOPClassUID", "ImageType", "EchoTime"),
)
_VALUES = (
    *("", "0", "-1", "1e308", "nan", "inf", "A", "1\\2", "1\\0\\0\\0\\1\\0", "0\\0\\0"),
    *("RGB", "ORIGINAL\\MOSAIC"),
)


@cache
def corpus() -> tuple[tuple[str, Files], ...]:
    """Series and archives, one of each odd form that is read, and plain ones, by name."""
    found: list[tuple[str, Files]] = []
    with tempfile.TemporaryDirectory() as name:
        for number, (what, (outcome, make)) in enumerate(sorted(ODD.items())):
            folder = Path(name) / str(number)
            folder.mkdir()
            if outcome == "scan":
                path = make(folder)
                inside = sorted(path.iterdir()) if path.is_dir() else [path]
                found.append((what, {file.name: file.read_bytes() for file in inside}))
    scan = make_scan((40, 36, 4))
    image = nibabel.Nifti1Image(scan.volume, np.diag([-1.0, -1.0, 1.0, 1.0]) @ scan.affine).to_bytes()
    found += [("nifti", {"a.nii": image}), ("nifti gz", {"a.nii.gz": gzip.compress(image, mtime=0)})]
    return tuple(found)


def damaged(number: int) -> tuple[str, Files]:
    """The files of one case."""
    dice = random.Random(number)
    name, files = dice.choice(corpus())
    files = dict(files)
    for _ in range(dice.choice([1, 1, 2, 3])):
        dice.choice((_bytes, _bytes, _bytes, _tags, _series))(files, dice)
    return name, files


def _bytes(files: Files, dice: random.Random) -> None:
    """Damage some bytes of one file, or the same of all: most often in its header."""
    some = list(files) if dice.random() < 0.4 else [dice.choice(list(files))]
    state = dice.getrandbits(64)
    for name in some:
        own = random.Random(state)
        data = bytearray(files[name])
        for _ in range(own.choice([1, 1, 2, 4, 16])):
            if not data:
                break
            at = own.randrange(min(len(data), own.choice([200, 1200, 1 << 30])))
            _damage(data, at, own)
        files[name] = bytes(data)


def _damage(data: bytearray, at: int, dice: random.Random) -> None:
    kind = dice.randrange(7)
    if kind == 0:
        data[at] = dice.randrange(256)
    elif kind == 1:
        data[at] ^= 1 << dice.randrange(8)
    elif kind == 2:
        del data[at : at + dice.choice([1, 2, 7, 60, 1 << 30])]
    elif kind == 3:
        data[at:at] = dice.randbytes(dice.choice([1, 2, 4, 60]))
    elif kind == 4:
        data[at:at] = data[at : at + dice.choice([4, 30, 300])]
    else:
        size, most = ("H", 0xFFFF) if kind == 5 else ("I", 0xFFFFFFFF)
        word = struct.pack(dice.choice("<>") + size, dice.choice(_WORDS) & most)
        data[at : at + len(word)] = word


def _tags(files: Files, dice: random.Random) -> None:
    """Give tags other values, as a broken exporter would: the file stays well formed."""
    some = list(files) if dice.random() < 0.6 else [dice.choice(list(files))]
    changes = [
        (dice.choice(_NUMBERS), dice.choice(_WORDS) & 0xFFFF)
        if dice.random() < 0.5
        else (dice.choice(_TEXTS), dice.choice(_VALUES))
        for _ in range(dice.choice([1, 1, 2, 4]))
    ]
    for name in some:
        if files[name][128:132] != b"DICM":
            continue
        try:
            dataset = pydicom.dcmread(io.BytesIO(files[name]))
            for keyword, value in changes:
                if value == "" and keyword in dataset:
                    del dataset[keyword]
                else:
                    element = pydicom.DataElement(pydicom.tag.Tag(keyword), _vr(keyword), None)
                    element._value = value
                    dataset[keyword] = element
            buffer = io.BytesIO()
            dataset.save_as(buffer)
        except Exception:  # a file that an earlier damage made unwritable stays as it is
            continue
        files[name] = buffer.getvalue()


def _vr(keyword: str) -> str:
    return pydicom.datadict.dictionary_VR(pydicom.tag.Tag(keyword)).split()[0]


def _series(files: Files, dice: random.Random) -> None:
    """Lose, repeat, mix or empty whole files."""
    names = list(files)
    kind = dice.randrange(5)
    if kind == 0 and len(names) > 1:
        for name in dice.sample(names, dice.randrange(1, len(names))):
            del files[name]
    elif kind == 1:
        files[f"copy {dice.choice(names)}"] = files[dice.choice(names)]
    elif kind == 2:
        other, theirs = dice.choice(corpus())
        files |= {f"{other} {name}".replace("/", ""): data for name, data in theirs.items()}
    elif kind == 3:
        files[dice.choice(names)] = dice.randbytes(dice.choice([0, 1, 131, 132, 200, 5000]))
    else:
        one, two = dice.choice(names), dice.choice(names)
        cut = dice.randrange(len(files[one]) + 1)
        files[one] = files[one][:cut] + files[two][cut:]
