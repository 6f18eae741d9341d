"""Series that share a UID or lost it, and objects of a series that are no slice of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from spinenet.readers.series import read_scan
from support.cases import Case
from support.drawn_series import COLUMNS, ROWS, drawn_series, drawn_slice, plane, save_series
from support.verdicts import flags_of, graded_below, said_of

T1 = {"EchoTime": "10", "RepetitionTime": "500", "SeriesDescription": "SAG T1"}
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
BETWEEN = -14.0
"""First place of slices that lie in the gaps of others."""

TWO = "T1 9 slices, 4 mm; T2 9 slices, 4 mm"
ONE = "T2 9 slices, 4 mm"


def like_t1(series: Sequence[pydicom.Dataset]) -> list[pydicom.Dataset]:
    """With other pixels: dark where a T2 is bright."""
    for data in series:
        pixels = 4095 - np.frombuffer(data.PixelData, "<u2")
        data.PixelData = (pixels // 3).astype("<u2").tobytes()
        data["PixelData"].VR = "OW"
    return list(series)


def t2_and_t1(
    uids: tuple[Any, Any], t1: dict[str, Any], change: Callable[[Any], None] = lambda data: None
) -> Callable[[Path], str]:
    """A T2 and a T1 in its gaps, in one folder."""

    def make(folder: Path) -> str:
        for prefix, uid, series in (
            ("a", uids[0], drawn_series()),
            ("b", uids[1], like_t1(drawn_series(first_x=BETWEEN, **t1))),
        ):
            for data in series:
                data.SeriesInstanceUID = uid
                if uid is None:
                    del data.SeriesInstanceUID
                change(data)
            save_series(folder, series, prefix)
        return said_of(folder)

    return make


def without(*keywords: str) -> Callable[[pydicom.Dataset], None]:
    def change(data: pydicom.Dataset) -> None:
        for keyword in keywords:
            if keyword in data:
                delattr(data, keyword)

    return change


def changed(
    change: Callable[[int, pydicom.Dataset], None], told: Callable[[Path], str] = said_of, **tags: Any
) -> Callable[[Path], str]:
    """One series, each slice changed by its index."""

    def make(folder: Path) -> str:
        series = drawn_series(**tags)
        for index, data in enumerate(series):
            change(index, data)
        save_series(folder, series)
        return told(folder)

    return make


def uneven(index: int, data: pydicom.Dataset) -> None:
    """What differs from slice to slice in sound series."""
    data.RepetitionTime = f"{3500 + 17 * index}"
    data.EchoTime = f"{100 + 0.01 * index:.2f}"
    data.WindowCenter, data.WindowWidth = str(500 + index), "900"
    data.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "NORM"][: 4 + index % 2]
    data.ImageOrientationPatient = [0, 1, f"{0.00002 * index:.5f}", 0, 0, -1]
    data.AcquisitionNumber, data.TemporalPositionIdentifier = index + 1, index + 1
    data.FlipAngle = str(150 + index)


def sagittal_and_axial(folder: Path) -> str:
    axial = [
        drawn_slice((-120.0, -120.0, 4.0 * index), index + 1, ImageOrientationPatient=list(AXIAL))
        for index in range(12)
    ]
    for prefix, series in (("a", drawn_series()), ("b", axial)):
        for data in series:
            del data.SeriesInstanceUID
        save_series(folder, series, prefix)
    return said_of(folder)


def padded(index: int, data: pydicom.Dataset) -> None:
    pixels = np.frombuffer(data.PixelData, "<u2").reshape(ROWS, COLUMNS).astype("<i2")
    pixels[:, :8] = pixels[:, -8:] = -32768
    data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 15, 1
    data.PixelPaddingValue, data.PixelData = -32768, pixels.tobytes()


def lowest(folder: Path) -> str:
    return f"lowest value {read_scan(folder).volume.min():g}"


def one_uid_for_all(apart: bool, **same: str) -> Callable[[Path], str]:
    """Three patients, each in a folder of his own or all in one."""

    def make(folder: Path) -> str:
        for number in range(3):
            tags: dict[str, Any] = {"StudyInstanceUID": f"1.2.99.{number}", "PatientID": f"P{number}"} | same
            series = drawn_series("1.2.3.4.5", **tags)
            for data in series:
                data.PixelData = (np.frombuffer(data.PixelData, "<u2") + 10 * number).astype("<u2").tobytes()
                if "SOPInstanceUID" in same:
                    data.SOPInstanceUID = f"1.2.3.4.5.{data.InstanceNumber}"
            save_series(folder / (f"patient{number}" if apart else "all"), series, f"P{number}")
        return graded_below(folder) if apart else said_of(folder)

    return make


def copied(folder: Path) -> str:
    """A series, and a copy of it in another place that a PACS has touched."""
    series = drawn_series()
    save_series(folder / "a", series)
    for data in series:
        data.file_meta.ImplementationVersionName = "AQNET44B"
        data.InstitutionName = "elsewhere"
    save_series(folder / "b", series[1:])
    return graded_below(folder)


def twice(change: Callable[[pydicom.Dataset], None], which: Sequence[int]) -> Callable[[Path], str]:
    """Some slices again, changed."""

    def make(folder: Path) -> str:
        series = drawn_series()
        save_series(folder, series)
        again = [series[index] for index in which]
        for data in again:
            change(data)
        save_series(folder, again, "again")
        return said_of(folder).replace(ONE, flags_of(folder))

    return make


def touched(data: pydicom.Dataset) -> None:
    data.file_meta.ImplementationVersionName = "AQNET44B"


def renamed(data: pydicom.Dataset) -> None:
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()


def repainted(data: pydicom.Dataset) -> None:
    data.PixelData = plane((0.0, 0.0, 0.0)).tobytes()


def beside(**tags: Any) -> Callable[[Path], str]:
    """A series, and one more object within it."""

    def make(folder: Path) -> str:
        series = drawn_series()
        odd = drawn_slice((0.0, 0.0, 0.0), 99, series[0].SeriesInstanceUID, **tags)
        odd.file_meta.MediaStorageSOPClassUID = odd.SOPClassUID
        if odd.SamplesPerPixel == 3:
            odd.PlanarConfiguration = 0
            odd.BitsAllocated = odd.BitsStored = 8
            odd.HighBit = 7
            odd.PixelData = bytes(ROWS * COLUMNS * 3)
        save_series(folder, [*series, odd])
        return said_of(folder).replace(ONE, flags_of(folder))

    return make


NOWHERE = dict.fromkeys(("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"))
CAPTURE = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}
COLOUR = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}


def several(told: Callable[[Path], str], *kinds: dict[str, Any]) -> Callable[[Path], str]:
    """Images of several kinds at each place of one series."""

    def make(folder: Path) -> str:
        uid = generate_uid()
        for number, tags in enumerate(kinds):
            series = drawn_series(uid, **tags)
            for data in series:
                data.InstanceNumber += 10 * number
                data.PixelData = (
                    (np.frombuffer(data.PixelData, "<u2") // (number + 1)).astype("<u2").tobytes()
                )
            save_series(folder, series, f"k{number}")
        return told(folder)

    return make


ECHOES = ({"EchoTime": "9.4", "EchoNumbers": 1}, {"EchoTime": "94", "EchoNumbers": 2})
DIXON = tuple({"ImageType": ["DERIVED", "PRIMARY", "DIXON", kind]} for kind in ("WATER", "FAT", "IN_PHASE"))
TIMES = tuple({"TemporalPositionIdentifier": number} for number in (1, 2))
LOST = (None, None)
GARBAGE = ("ANONYMIZED", "ANONYMIZED")
SHARED = ("1.2.3", "1.2.3")
NO_TIMES = without("EchoTime", "RepetitionTime", "ScanningSequence", "SeriesDescription")

CASES = (
    Case(
        "no SeriesInstanceUID, T1 in the gaps of T2",
        "T2 18 slices, 2 mm",
        TWO,
        t2_and_t1(LOST, T1 | {"SeriesNumber": 4}),
    ),
    Case("no SeriesInstanceUID, one SeriesNumber", "T2 18 slices, 2 mm", TWO, t2_and_t1(LOST, T1)),
    Case(
        "no SeriesInstanceUID, no SeriesNumber",
        "T2 18 slices, 2 mm",
        TWO,
        t2_and_t1(LOST, T1, without("SeriesNumber")),
    ),
    Case("SeriesInstanceUID empty", "T2 18 slices, 2 mm", TWO, t2_and_t1(("", ""), T1)),
    Case(
        "no SeriesInstanceUID, contrasts alike, numbers differ",
        "other 18 slices, 2 mm",
        "other 9 slices, 4 mm; other 9 slices, 4 mm",
        t2_and_t1(LOST, {"SeriesNumber": 4}, NO_TIMES),
    ),
    Case("UIDs with letters", "T2 18 slices, 2 mm", TWO, t2_and_t1(("1.2.a1", "1.2.b2"), T1)),
    Case(
        "UIDs are hashes", "T2 18 slices, 2 mm", TWO, t2_and_t1(("9f86d081884c7d65", "60303ae22b998861"), T1)
    ),
    Case("UIDs with spaces", "T2 18 slices, 2 mm", TWO, t2_and_t1(("series A", "series B"), T1)),
    Case(
        "UIDs of 200 letters",
        "T2 18 slices, 2 mm",
        TWO,
        t2_and_t1(("1.2" + "9" * 197, "1.2" + "8" * 197), T1),
    ),
    Case("one word for every UID", "T2 18 slices, 2 mm", TWO, t2_and_t1(GARBAGE, T1)),
    Case("one valid UID for T1 and T2", "T2 18 slices, 2 mm", TWO, t2_and_t1(SHARED, T1)),
    Case(
        "one valid UID, nothing tells T1 from T2",
        "other 18 slices, 2 mm",
        "other mixed_contrasts",
        t2_and_t1(SHARED, {}, NO_TIMES),
    ),
    Case(
        "no UID, nothing tells T1 from T2",
        "other 18 slices, 2 mm",
        "other mixed_contrasts",
        t2_and_t1(LOST, {}, NO_TIMES),
    ),
    Case("tags that differ a little from slice to slice", "T2 9 slices, 4 mm", ONE, changed(uneven)),
    Case(
        "no UID, sagittal and axial of one contrast",
        "T2 localizer",
        "T2 9 slices, 4 mm; T2 not_sagittal",
        sagittal_and_axial,
    ),
    Case(
        "one UID for three patients, in folders",
        "1 graded (T2) duplicate_series",
        "3 graded (T2)",
        one_uid_for_all(apart=True),
    ),
    Case(
        "one UID and one study for three patients",
        "1 graded (T2) duplicate_series",
        "3 graded (T2)",
        one_uid_for_all(apart=True, StudyInstanceUID="1.2.99", PatientID="ANON"),
    ),
    Case(
        "all UIDs of three patients alike",
        "1 graded (T2) duplicate_series",
        "3 graded (T2)",
        one_uid_for_all(apart=True, StudyInstanceUID="1.2.99", PatientID="", SOPInstanceUID="1.2"),
    ),
    Case(
        "one UID for three patients, in one folder",
        "T2 duplicate_positions",
        "; ".join([ONE] * 3),
        one_uid_for_all(apart=False),
    ),
    Case(
        "one UID and study for three patients in one folder",
        "T2 duplicate_positions",
        "; ".join([ONE] * 3),
        one_uid_for_all(apart=False, StudyInstanceUID="1.2.99"),
    ),
    Case(
        "a copy in another place, touched and short of a slice",
        "1 graded (T2) duplicate_series",
        "1 graded (T2) duplicate_series",
        copied,
    ),
    Case("Modality stripped", "T2 not_mr", ONE, changed(lambda index, data: without("Modality")(data))),
    Case("Modality empty", "T2 not_mr", ONE, changed(lambda index, data: setattr(data, "Modality", ""))),
    Case(
        "Modality anonymised",
        "T2 not_mr",
        ONE,
        changed(lambda index, data: setattr(data, "Modality", "ANON")),
    ),
    Case(
        "slices again, touched by a PACS",
        "T2 duplicate_positions",
        "9 slices duplicate_files",
        twice(touched, (2, 5)),
    ),
    Case(
        "slices again as new instances",
        "T2 duplicate_positions",
        "9 slices duplicate_files",
        twice(renamed, (2, 5)),
    ),
    Case(
        "a whole series again", "T2 duplicate_positions", "9 slices duplicate_files", twice(renamed, range(9))
    ),
    Case(
        "an instance again with other pixels",
        "T2 index 9 slices, 4 mm, check 9 slices, run duplicate_positions",
        "T2 conflicting_copies",
        twice(repainted, (2,)),
    ),
    Case(
        "a colour screen save",
        "T2 colour",
        "9 slices objects_ignored",
        beside(**NOWHERE, **CAPTURE, **COLOUR),
    ),
    Case(
        "a grey capture without geometry",
        "T2 missing_tags",
        "9 slices objects_ignored",
        beside(**NOWHERE, **CAPTURE),
    ),
    Case(
        "a capture that kept its geometry",
        "T2 duplicate_positions",
        "9 slices objects_ignored",
        beside(**CAPTURE),
    ),
    Case("a colour picture of the MR class", "T2 colour", "9 slices objects_ignored", beside(**COLOUR)),
    Case(
        "a derived picture without geometry",
        "T2 missing_tags",
        "9 slices objects_ignored",
        beside(**NOWHERE, ImageType=["DERIVED", "PRIMARY", "MIP"]),
    ),
    Case(
        "a picture on another plane",
        "T2 localizer",
        "9 slices objects_ignored",
        beside(ImageOrientationPatient=list(AXIAL)),
    ),
    Case(
        "two echoes",
        "T2 duplicate_positions",
        "T2 9 slices, 4 mm; other 9 slices, 4 mm",
        several(said_of, *ECHOES),
    ),
    Case(
        "two echoes, indexed",
        "0 graded () duplicate_positions",
        "1 graded (T2)",
        several(graded_below, *ECHOES),
    ),
    Case("two echoes, unnamed", "duplicate_positions", "several_echoes", several(flags_of, *ECHOES)),
    Case("parts of a Dixon series", "T2 duplicate_positions", "; ".join([ONE] * 3), several(said_of, *DIXON)),
    Case(
        "parts of a Dixon series, indexed",
        "0 graded () duplicate_positions",
        "1 graded (T2)",
        several(graded_below, *DIXON),
    ),
    Case(
        "parts of a Dixon series, unnamed",
        "duplicate_positions",
        "several_image_types",
        several(flags_of, *DIXON),
    ),
    Case("two times", "T2 duplicate_positions", "; ".join([ONE] * 2), several(said_of, *TIMES)),
    Case("two times, unnamed", "duplicate_positions", "several_times", several(flags_of, *TIMES)),
    Case(
        "two images a place, no tag tells why",
        "T2 duplicate_positions",
        "T2 duplicate_positions",
        several(said_of, {}, {}),
    ),
)


@pytest.mark.filterwarnings("ignore:.* VR UI")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_series(case: Case, tmp_path: Path) -> None:
    assert case.outcome(tmp_path) == case.right
