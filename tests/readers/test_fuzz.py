"""A short run of the fuzzing of all readers; see fuzz.py for long ones."""

from __future__ import annotations

import collections
from pathlib import Path

from fuzz import outcome, run

from spinenet.readers.series import read_scan
from support.fuzz_cases import corpus, damaged

CASES = 300


def test_undamaged_series_are_read(tmp_path: Path) -> None:
    for name, files in corpus():
        folder = tmp_path / name.replace(":", "")
        folder.mkdir()
        for file, data in files.items():
            (folder / file).write_bytes(data)
        path = folder if len(files) > 1 else folder / next(iter(files))
        assert read_scan(path).volume.size, name


def test_a_case_is_made_of_its_number_alone() -> None:
    assert damaged(17) == damaged(17)
    assert damaged(17) != damaged(18)


def test_every_case_ends_as_a_scan_or_a_reason() -> None:
    found = run(0, CASES)
    assert found.failures == {}
    assert sum(found.outcomes.values()) == CASES
    assert len(found.outcomes) > 8
    assert found.outcomes["scan"] > CASES / 20


def test_the_runner_tells_what_each_case_comes_to() -> None:
    assert dict(run(3, 5).outcomes) == collections.Counter(map(outcome, (3, 4)))
