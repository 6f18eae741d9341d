"""The walk through a header tells what pydicom reads, of no more of the file, or nothing."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from spinenet.errors import ScanError
from spinenet.index.fast import siblings
from spinenet.index.fast.headers import fast_frames
from spinenet.index.fast.walk import Held, Walked, walk
from spinenet.index.heads import Counted, read_head
from spinenet.readers.dicom.frames import Frame
from spinenet.readers.dicom.headers import read_frames
from spinenet.readers.sources.part10 import as_part10
from spinenet.synthetic.dicom import write_series
from support.fuzz_cases import corpus, damaged
from support.small_scans import make_scan

CHARACTER_SET, POSITION, ROWS, PATIENT = 0x00080005, 0x00200032, 0x00280010, 0x00100020
NAMES = {"patient_id": "P1", "study_uid": "1.2.1", "series_uid": "1.2.2", "description": "t2 tse sag"}
WANTED = frozenset((CHARACTER_SET, POSITION, ROWS, PATIENT, 0x0020000E, 0x00180050))


def by_pydicom(data: bytes) -> tuple[dict[int, bytes], int]:
    """Values and where the pixel data begins, as pydicom has them; its warnings are errors here."""
    file = io.BytesIO(data)
    header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=sorted(WANTED))
    # pydicom has made text of the character set
    elements = [element for element in header.values() if element.tag != CHARACTER_SET]
    return {int(element.tag): element.value or b"" for element in elements}, file.tell()


def values(walked: Walked) -> dict[int, bytes]:
    return {tag: value for tag, _, value in walked.elements if tag != CHARACTER_SET}


def as_bytes(dataset: Dataset, implicit: bool = False) -> bytes:
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    file = io.BytesIO()
    pydicom.dcmwrite(file, dataset, implicit_vr=implicit, little_endian=True)
    return file.getvalue()


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """A file with sequences of several depths before and among the wanted tags."""
    found = pydicom.dcmread(write_series(tmp_path, make_scan((16, 12, 1)), **NAMES)[0])
    deepest, middle, item = Dataset(), Dataset(), Dataset()
    deepest.CodeValue = "T-11500"
    middle.PurposeOfReferenceCodeSequence = [deepest, deepest]
    item.ReferencedSOPInstanceUID = "1.2.3"
    item.ReferencedImageSequence = [middle]
    found.ReferencedImageSequence = [item, Dataset(), item]
    found.RequestAttributesSequence = []
    return found


def unbounded(dataset: Dataset) -> None:
    """Give every sequence and item an undefined length."""
    for element in dataset:
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
                unbounded(item)


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("open_ended", [False, True])
def test_sequences_are_passed_over(dataset: Dataset, implicit: bool, open_ended: bool) -> None:
    if open_ended:
        unbounded(dataset)
    data = as_bytes(dataset, implicit)
    assert (b"\xff\xff\xff\xff" in data) == open_ended
    walked = walk(Held.whole(data), WANTED)
    assert walked is not None
    assert (values(walked), walked.start) == by_pydicom(data)


def test_what_pydicom_has_for_test_is_told_as_it_reads_it_or_not_at_all() -> None:
    told = 0
    for path in sorted((Path(pydicom.__file__).parent / "data" / "test_files").rglob("*.dcm")):
        data = as_part10(path.read_bytes())
        walked = None if data is None else walk(Held.whole(data), WANTED)
        if data is not None and walked is not None:
            assert (values(walked), walked.start) == by_pydicom(data), path.name
            told += 1
    assert told > 30


@pytest.mark.parametrize("implicit", [False, True])
def test_a_damaged_header_is_told_as_pydicom_reads_it_or_not_at_all(dataset: Dataset, implicit: bool) -> None:
    unbounded(dataset)
    whole, randomness, told = as_bytes(dataset, implicit), random.Random(5), 0
    end = by_pydicom(whole)[1] + 12
    for _ in range(1500):
        data = bytearray(whole)
        for _ in range(randomness.choice((1, 1, 2, 8))):
            data[randomness.randrange(132, end)] = randomness.choice((0, 1, 255, randomness.randrange(256)))
        walked = walk(Held.whole(bytes(data)), WANTED)
        # an unknown character set is pydicom's to tell, and other files of the series have it too
        if walked is not None and (CHARACTER_SET, b"ISO_IR 192") in [(e[0], e[2]) for e in walked.elements]:
            told += 1
            assert (values(walked), walked.start) == by_pydicom(bytes(data))
    assert 100 < told < 1500


def test_elements_out_of_order_or_beyond_the_end_are_left_to_pydicom(dataset: Dataset) -> None:
    data = as_bytes(dataset)
    assert walk(Held.whole(data[: by_pydicom(data)[1] + 4]), WANTED) is None
    rows = data.index(struct.pack("<HH2sH", 0x28, 0x10, b"US", 2))
    columns = data.index(struct.pack("<HH2sH", 0x28, 0x11, b"US", 2))
    swapped = data[:rows] + data[columns : columns + 10] + data[rows:columns] + data[columns + 10 :]
    assert walk(Held.whole(swapped), WANTED) is None
    assert walk(Held.whole(data[: rows + 4] + b"Us" + data[rows + 6 :]), WANTED) is None


def told(read: Callable[[], tuple[Frame, ...]]) -> object:
    """Frames, or the reason why there are none."""
    try:
        return read()
    except ScanError as error:
        return error.reason


def test_an_index_reads_a_header_as_a_run_does_whatever_it_read_before() -> None:
    """Pydicom alone, which a run reads by, is the oracle."""

    def fast(data: bytes) -> tuple[Frame, ...]:
        return fast_frames("a", io.BytesIO(data), lambda size: data, Held.whole(data))

    drawn = [data for _, files in corpus() for data in files.values()]
    broken = [data for case in range(150) for data in damaged(case)[1].values()]
    seen = [whole for data in (*drawn, *broken) if (whole := parted(data)) is not None]
    by_pydicom = [told(partial(read_frames, "a", data)) for data in seen]
    siblings._known.clear()
    for _ in range(2):
        assert [told(partial(fast, data)) for data in seen] == by_pydicom
    assert siblings._known


def parted(data: bytes) -> bytes | None:
    """A file as its readers get it; None where it is not read as DICOM."""
    try:
        whole = as_part10(data)
    except ScanError:
        return None
    return whole if whole is not None and whole[128:132] == b"DICM" else None


def test_heads_are_the_same_whatever_was_read_before() -> None:
    def told(data: bytes) -> object:
        file = Counted(io.BytesIO(data))
        try:
            return read_head("a", file), file.bytes_read
        except ScanError as error:
            return error.reason, file.bytes_read

    seen = [data for case in range(200) for data in damaged(case)[1].values()]
    alone = []
    for data in seen:
        siblings._known.clear()
        alone.append(told(data))
    assert [told(data) for data in seen] == alone
    assert [told(data) for data in seen] == alone
    assert siblings._known


def test_a_sibling_is_read_without_pydicom(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    siblings._known.clear()
    first = read_head("a", io.BytesIO(as_bytes(dataset)))
    dataset.InstanceNumber, dataset.ImagePositionPatient = 7, ["-31.0", "-1.0e2", "201.0"]
    monkeypatch.setattr(pydicom, "dcmread", None)
    (frame,) = read_head("b", io.BytesIO(as_bytes(dataset))).frames
    assert (frame.name, frame.number, frame.position) == ("b", 7, (-31.0, -100.0, 201.0))
    assert frame.digest != first.frames[0].digest
    assert (frame.pixels.rows, frame.facts) == (first.frames[0].pixels.rows, first.frames[0].facts)
