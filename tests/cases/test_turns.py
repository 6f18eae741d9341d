"""Two contrasts whose slices lie in turn in one series, which no tag tells."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEGLSLossless, RLELossless

from spinenet.errors import ScanError
from spinenet.index.places import find_places
from spinenet.index.survey import survey
from spinenet.readers.series import read_scan
from support.cases import Case
from support.drawn_series import COLUMNS, ROWS, drawn_series, plane, save_series
from support.verdicts import LOCAL, said_of

MIXED, SOUND = "T2 mixed_contrasts", "T2 18 slices, 2 mm"
NUMBERED_ALONG, NUMBERED_ON = tuple(range(1, 19)), (*range(1, 19, 2), *range(2, 19, 2))
Change = Callable[[np.ndarray], np.ndarray]


def other_contrast(pixels: np.ndarray) -> np.ndarray:
    """Dark where the other is bright, and with less to pack."""
    return (4095 - pixels) // 3


def darker(pixels: np.ndarray) -> np.ndarray:
    return pixels // 2


def in_turn(change: Change, numbers: tuple[int, ...], uid: str | None = None) -> Callable[[Path], str]:
    """Eighteen slices 2 mm apart, every second one changed; ``numbers`` by place."""

    def make(folder: Path) -> str:
        series = drawn_series(n_slices=18, gap=2.0)
        for place, data in enumerate(series):
            data.InstanceNumber = numbers[place]
            pixels = np.frombuffer(data.PixelData, "<u2").reshape(ROWS, COLUMNS)
            pixels = pixels + np.random.default_rng(place).integers(0, 8, pixels.shape)
            data.PixelData = (pixels if place % 2 else change(pixels)).astype("<u2").tobytes()
            if uid is not None:
                data.compress(uid, generate_instance_uid=False)
        save_series(folder, series)
        return said_of(folder)

    return make


def same(pixels: np.ndarray) -> np.ndarray:
    return pixels


UNSEEN = "T2 index 18 slices, 2 mm, check 18 slices, run mixed_contrasts"
CASES = (
    Case("T1 and T2 in turn, all tags equal", UNSEEN, MIXED, in_turn(other_contrast, NUMBERED_ALONG)),
    Case(
        "T1 and T2 in turn, numbered one after the other", MIXED, MIXED, in_turn(other_contrast, NUMBERED_ON)
    ),
    Case("slices bright and dark in turn, all tags equal", UNSEEN, MIXED, in_turn(darker, NUMBERED_ALONG)),
    Case(
        "T1 and T2 in turn, all tags equal, compressed",
        UNSEEN,
        MIXED,
        in_turn(other_contrast, NUMBERED_ALONG, JPEGLSLossless),
    ),
    Case("one contrast", SOUND, SOUND, in_turn(same, NUMBERED_ALONG)),
    Case("one contrast, compressed", SOUND, SOUND, in_turn(same, NUMBERED_ALONG, RLELossless)),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_turns(case: Case, tmp_path: Path) -> None:
    assert case.outcome(tmp_path) == case.right


def test_an_image_of_another_format_is_refused_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "sub-01_T2w.nii.gz"
    affine = np.array([[-2.0, 0, 0, 18], [0, -1.5, 0, 120], [0, 0, 1.5, -150], [0, 0, 0, 1]])
    slices = [plane((2.0 * place, -120.0, 150.0)).T[:, ::-1] for place in range(18)]
    nibabel.save(nibabel.Nifti1Image(np.stack(slices).astype("i2"), affine), path)
    assert read_scan(path).volume.shape[:2] == (ROWS, COLUMNS)
    slices[::2] = map(other_contrast, slices[::2])
    nibabel.save(nibabel.Nifti1Image(np.stack(slices).astype("i2"), affine), path)
    with pytest.raises(ScanError, match="two series lie in one"):
        read_scan(path)


def test_a_sound_series_is_known_by_little(tmp_path: Path) -> None:
    in_turn(same, NUMBERED_ALONG)(tmp_path)
    (found,) = (survey(LOCAL, place) for place in find_places(LOCAL, str(tmp_path)))
    # the heads of 18 slices, half of the pixels of 4 and glimpses of 2
    assert found.bytes_read == 18 * 4096 + 4 * ROWS * COLUMNS + 2 * 4096
    assert found.bytes_read < 18 * ROWS * COLUMNS * 2 / 5


@pytest.mark.parametrize("shape", [(3, 160), (200, 1)])
def test_small_pictures_are_compared_too(shape: tuple[int, int], tmp_path: Path) -> None:
    series = drawn_series(n_slices=6)
    for data in series:
        data.Rows, data.Columns = shape
        data.PixelData = bytes(shape[0] * shape[1] * 2)
    save_series(tmp_path, series)
    (found,) = (survey(LOCAL, place) for place in find_places(LOCAL, str(tmp_path)))
    assert found.rows[0]["usable"]
    assert pydicom.dcmread(tmp_path / "IM0001.dcm").Rows == shape[0]
