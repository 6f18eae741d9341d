"""Series each file of which has a SeriesInstanceUID of its own, as broken exports write them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from spinenet.readers.series import read_scan
from support.cases import Case
from support.drawn_series import drawn_series, drawn_slice, save_series
from support.verdicts import flags_of, rows_below, said_of

T1: dict[str, Any] = {"EchoTime": "10", "RepetitionTime": "500", "SeriesDescription": "SAG T1 TSE LSPINE"}
BETWEEN = -14.0
"""First place of slices that lie in the gaps of others."""
AXIAL = [1, 0, 0, 0, 1, 0]
ONE = "T2 9 slices, 4 mm"


def parted(
    *several: Iterable[pydicom.Dataset], told: Callable[[Path], str] = said_of
) -> Callable[[Path], str]:
    """Slices in one folder, each with a UID of its own, made anew in each test."""

    def make(folder: Path) -> str:
        for number, series in enumerate(several):
            slices = list(series)
            for data in slices:
                data.SeriesInstanceUID = generate_uid()
            save_series(folder, slices, f"s{number}")
        return told(folder)

    return make


def other_picture(series: list[pydicom.Dataset], factor: float = 0.8) -> list[pydicom.Dataset]:
    for data in series:
        data.PixelData = (np.frombuffer(data.PixelData, "<u2") * factor).astype("<u2").tobytes()
        data["PixelData"].VR = "OW"
    return series


def numbered(series: list[pydicom.Dataset], first: int, step: int = 1) -> list[pydicom.Dataset]:
    for index, data in enumerate(series):
        data.InstanceNumber = first + step * index
    return series


def acquired(series: list[pydicom.Dataset], *numbers: int) -> list[pydicom.Dataset]:
    for index, data in enumerate(series):
        data.AcquisitionNumber = numbers[index % len(numbers)]
    return series


def planes(**tags: Any) -> list[pydicom.Dataset]:
    """A localizer: three sagittal and three axial slices."""
    axial = [
        drawn_slice((-120.0, -120.0, 4.0 * i), i + 4, ImageOrientationPatient=AXIAL, **tags) for i in range(3)
    ]
    return [*drawn_series(n_slices=3, **tags), *axial]


def single(index: int) -> list[pydicom.Dataset]:
    return drawn_series(n_slices=1, first_x=4.0 * index, SeriesNumber=10 + index)


def beside_a_sound_series(folder: Path) -> str:
    save_series(folder, drawn_series("1.2.77", SeriesNumber=8, **T1), "sound")
    return parted(drawn_series())(folder)


SINGLES = "; ".join(["T2 too_few_slices"] * 3)
LOCALIZER = "; ".join(["T2 not_sagittal"] * 3 + ["T2 too_few_slices"] * 3)
BEFORE = "; ".join(["T2 too_few_slices"] * 9)

CASES = (
    Case("a UID for each file", BEFORE, ONE, parted(drawn_series())),
    Case(
        "a UID for each file, read",
        "too_few_slices",
        "9 slices uid_per_file",
        parted(drawn_series(), told=flags_of),
    ),
    Case(
        "a UID for each file, T1 in the gaps of T2, one number",
        f"{BEFORE}; and 9 more",
        "T1 9 slices, 4 mm; T2 9 slices, 4 mm",
        parted(drawn_series(), drawn_series(first_x=BETWEEN, **T1)),
    ),
    Case(
        "a UID for each file, two series",
        f"{BEFORE}; and 9 more",
        "; ".join([ONE] * 2),
        parted(drawn_series(), drawn_series(SeriesNumber=4)),
    ),
    Case(
        "a UID for each file, two patients",
        f"{BEFORE}; and 9 more",
        "; ".join([ONE] * 2),
        parted(
            drawn_series(StudyInstanceUID="1.2.5", PatientID="A"),
            drawn_series(StudyInstanceUID="1.2.6", PatientID="B"),
        ),
    ),
    Case(
        "a UID for each file, beside a sound series",
        BEFORE,
        f"T1 9 slices, 4 mm; {ONE}",
        beside_a_sound_series,
    ),
    Case(
        "a UID for each file, a slice lacks",
        BEFORE,
        "T2 uid_per_file",
        parted([data for data in drawn_series() if data.InstanceNumber != 4]),
    ),
    Case(
        "two acquisitions with a UID for each file, at the same places",
        f"{BEFORE}; and 9 more",
        "T2 uid_per_file",
        parted(drawn_series(), numbered(other_picture(drawn_series()), 10)),
    ),
    Case(
        "the same, with acquisition numbers",
        f"{BEFORE}; and 9 more",
        "; ".join([ONE] * 2),
        parted(acquired(drawn_series(), 1), acquired(numbered(other_picture(drawn_series()), 10), 2)),
    ),
    Case(
        "two acquisitions with a UID for each file, one in the gaps of the other",
        f"{BEFORE}; and 9 more",
        "T2 uid_per_file",
        parted(drawn_series(), other_picture(drawn_series(first_x=BETWEEN))),
    ),
    Case(
        "the same, numbered on",
        f"{BEFORE}; and 9 more",
        "T2 uid_per_file",
        parted(drawn_series(), numbered(other_picture(drawn_series(first_x=BETWEEN)), 10)),
    ),
    Case(
        "the same, numbered on, with acquisition numbers",
        f"{BEFORE}; and 9 more",
        "; ".join([ONE] * 2),
        parted(
            acquired(drawn_series(), 1),
            acquired(numbered(other_picture(drawn_series(first_x=BETWEEN)), 10), 2),
        ),
    ),
    Case(
        "two acquisitions with a UID for each file, side by side",
        f"{BEFORE}; and 9 more",
        "; ".join([ONE] * 2),
        parted(
            acquired(drawn_series(first_x=-36.0), 1), acquired(numbered(drawn_series(first_x=0.0), 10), 2)
        ),
    ),
    Case(
        "a UID for each file, acquired in two passes",
        BEFORE,
        ONE,
        parted(acquired(drawn_series(), 1, 2)),
    ),
    Case(
        "an acquisition number for each file too",
        BEFORE,
        ONE,
        parted(acquired(drawn_series(), *range(1, 10))),
    ),
    Case("single slices of three series", SINGLES, SINGLES, parted(*map(single, range(3)))),
    Case(
        "a localizer with a UID for each file",
        LOCALIZER,
        LOCALIZER,
        parted(planes(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])),
    ),
    Case(
        "a UID and a study for each file",
        BEFORE,
        BEFORE,
        parted([drawn_slice((4.0 * i, -120.0, 150.0), i, StudyInstanceUID=f"1.2.{i + 1}") for i in range(9)]),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_uid_per_file(case: Case, tmp_path: Path) -> None:
    assert case.outcome(tmp_path) == case.right


def test_what_is_joined_is_named_by_any_of_its_uids(tmp_path: Path) -> None:
    parted(drawn_series(), drawn_series(SeriesNumber=4))(tmp_path)
    first, second = sorted(tmp_path.glob("s0*")), sorted(tmp_path.glob("s1*"))
    uids = [[str(pydicom.dcmread(path).SeriesInstanceUID) for path in paths] for paths in (first, second)]
    rows = rows_below(tmp_path)
    assert {row["series_uid"] for row in rows} == {min(some) for some in uids}
    for some in uids:
        read = [read_scan(tmp_path, series_uid=uid) for uid in some]
        assert {scan.header["series_uid"] for scan in read} == {min(some)}
        assert all(scan.flags == ("series_ignored", "uid_per_file") for scan in read)
