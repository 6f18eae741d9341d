"""What a worker does for one scan, called as a plain function."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from flows.workers import decode, infer
from spinenet.cohort.manifests.manifest import Entry
from spinenet.cohort.rows import ScanRows
from spinenet.cohort.scan import Orders
from spinenet.cohort.tables import STAGES, Row
from spinenet.settings import Settings
from spinenet.synthetic.enhanced import write_enhanced
from spinenet.weights import resolve
from spinenet.weights.loaded import WeightsRef
from support.cohorts import small_scan, write

ORDERS = Orders(WeightsRef("synthetic", "synthetic", ""), Settings())
OF_THE_FILES = frozenset(("path", "input_fingerprint", *(f"seconds_{stage}" for stage in STAGES)))
"""Columns that differ however much a scan is the same."""


@pytest.fixture
def without_spacing(tmp_path: Path) -> Path:
    for file in write(tmp_path, small_scan(7), "a"):
        dataset = pydicom.dcmread(file)
        del dataset.PixelSpacing
        dataset.save_as(file)
    return tmp_path


def test_the_manifest_supplies_a_missing_tag(without_spacing: Path) -> None:
    entry = Entry("a", str(without_spacing))
    refused = decode(entry, ORDERS)
    assert refused.failure is not None
    assert refused.failure.reason == "missing_tags"
    supplied = decode(Entry("a", str(without_spacing), overrides={"PixelSpacing": "2.5 3.0"}), ORDERS)
    assert supplied.failure is None
    assert supplied.facts is not None
    assert supplied.facts.pixel_spacing == (2.5, 3.0)
    assert "overridden" in supplied.facts.flags


def test_an_override_that_is_no_number_is_the_rows_own_failure(without_spacing: Path) -> None:
    told = decode(Entry("a", str(without_spacing), overrides={"PixelSpacing": "wide"}), ORDERS)
    assert told.failure is not None
    assert told.failure.reason == "missing_tags"
    assert "manifest" in told.failure.detail


@pytest.fixture(scope="module")
def orders() -> Orders:
    fingerprint = resolve("synthetic").fingerprint
    return Orders(WeightsRef("synthetic", "synthetic", fingerprint), Settings(), device="cpu")


def rows_of(path: Path, orders: Orders) -> ScanRows:
    """What a worker makes of a scan."""
    return infer(decode(Entry("a", str(path)), orders), orders).rows


def told(row: Row) -> Row:
    return {column: value for column, value in row.items() if column not in OF_THE_FILES}


@pytest.fixture(scope="module")
def classic(tmp_path_factory: pytest.TempPathFactory, orders: Orders) -> tuple[list[Path], ScanRows]:
    """The files of a scan, one slice each, and the rows that it becomes."""
    folder = tmp_path_factory.mktemp("classic")
    files = write(folder, small_scan(7), "a")
    return files, rows_of(folder, orders)


@pytest.mark.parametrize("compression", [None, "rle"])
@pytest.mark.parametrize("converted", [False, True])
def test_the_enhanced_form_gives_the_very_rows_of_the_classic_one(
    tmp_path: Path,
    orders: Orders,
    classic: tuple[list[Path], ScanRows],
    converted: bool,
    compression: str | None,
) -> None:
    files, wanted = classic
    assert wanted.scan["status"] == "done", wanted.scan
    assert len(wanted.vertebrae) >= 5
    assert len(wanted.grades) >= 4
    # frames in an order that is none of space
    shuffled = files[::2] + files[1::2][::-1]
    write_enhanced(tmp_path / "one.dcm", shuffled, converted=converted, compression=compression)
    got = rows_of(tmp_path / "one.dcm", orders)
    assert told(got.scan) == told(wanted.scan)
    assert got.vertebrae == wanted.vertebrae
    assert got.grades == wanted.grades
    assert got.scan["path"] != wanted.scan["path"]
    assert got.scan["input_fingerprint"] != wanted.scan["input_fingerprint"]
