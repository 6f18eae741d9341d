"""Odd files become what the table of them says, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.odd_files import BUNDLED, ODD, bundled, expected_of, outcome_of


@pytest.mark.parametrize("name", bundled())
def test_files_of_pydicom(name: str) -> None:
    assert outcome_of(BUNDLED / name) == expected_of(name)


@pytest.mark.parametrize("name", ODD)
def test_odd_files(tmp_path: Path, name: str) -> None:
    expected, make = ODD[name]
    assert outcome_of(make(tmp_path)) == expected
