"""Outlines that a bundle draws: only what is plausible as a whole is taken, and read as it was written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spinenet.errors import LabelsError
from spinenet.training.labels.labelled import LabelledScan
from spinenet.training.labels.outlining import is_plausible, outline_line, read_outlines, write_outlines
from spinenet.types import Vertebra

LEVELS = ("L1", "L2", "L3", "L4", "L5", "S1")
SURE = np.full(24, 0.9)


def body(level: str, place: int, height: float = 30.0) -> Vertebra:
    top, right = 40.0 * place, 140.0
    quad = np.array([[right, top], [right, top + height], [100, top + height], [100, top]])
    return Vertebra((0,), quad[None], level, SURE)


WHOLE = tuple(body(level, place) for place, level in enumerate(LEVELS))


def test_a_whole_lumbar_spine_is_plausible() -> None:
    assert is_plausible(WHOLE)
    assert is_plausible(WHOLE[1:])


@pytest.mark.parametrize(
    "vertebrae",
    [
        WHOLE[:-1],
        WHOLE[2:],
        (*WHOLE[:2], *WHOLE[3:]),
        (*WHOLE[:3], replace(WHOLE[3], level="L5"), *WHOLE[4:]),
        (*WHOLE, body("S2", 6)),
        tuple(replace(v, level_probabilities=np.full(24, 0.2)) for v in WHOLE),
        tuple(replace(v, level_probabilities=None) for v in WHOLE),
        (*WHOLE[:2], body("L3", 2, height=12), *WHOLE[3:]),
        (*(body(level, place - 1) for place, level in enumerate(LEVELS[:3])), *WHOLE[3:]),
        (),
    ],
    ids=[
        "no S1",
        "few",
        "one missing",
        "a name twice",
        "S2",
        "unsure",
        "not named",
        "a disc",
        "a gap",
        "none",
    ],
)
def test_anything_else_is_not(vertebrae: tuple[Vertebra, ...]) -> None:
    assert not is_plausible(vertebrae)


def scan(name: str) -> LabelledScan:
    volume = np.zeros((300, 280, 1), np.float32)
    return LabelledScan(volume, 0.5, 4.0, (), True, True, subject="a", source="made up", name=name)


def test_outlines_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "outlines.jsonl"
    assert write_outlines(path, [outline_line(scan("one"), WHOLE), outline_line(scan("two"), WHOLE[1:])]) == 2
    read = read_outlines(path)
    assert list(read) == ["one", "two"]
    assert [v.level for v in read["one"]] == list(LEVELS)
    for one, other in zip(read["one"], WHOLE, strict=True):
        assert np.array_equal(one.mean_quad, other.mean_quad)


@pytest.mark.parametrize(
    "line", ["[]", "{", '{"name": "a"}', '{"name": "a", "quads": {"L9": [[0,0],[1,1]]}}']
)
def test_a_line_that_is_none_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "outlines.jsonl"
    path.write_text(f"{outline_line(scan('one'), WHOLE)}\n{line}\n", encoding="utf-8")
    with pytest.raises(LabelsError, match=r"line 2 of outlines\.jsonl is no outline"):
        read_outlines(path)
