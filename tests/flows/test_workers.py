"""What a worker does for one scan, called as a plain function."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from cohorts import small_scan, write

from flows.workers import Orders, WeightsRef, prepare
from spinenet.cohort.manifest import Entry
from spinenet.pipeline import Settings

ORDERS = Orders(WeightsRef("synthetic", "synthetic", ""), Settings())


@pytest.fixture
def without_spacing(tmp_path: Path) -> Path:
    for file in write(tmp_path, small_scan(3), "a"):
        dataset = pydicom.dcmread(file)
        del dataset.PixelSpacing
        dataset.save_as(file)
    return tmp_path


def test_the_manifest_supplies_a_missing_tag(without_spacing: Path) -> None:
    entry = Entry("a", str(without_spacing))
    refused = prepare(entry, ORDERS)
    assert refused.failure is not None
    assert refused.failure.reason == "missing_tags"
    supplied = prepare(Entry("a", str(without_spacing), overrides={"PixelSpacing": "2.5 3.0"}), ORDERS)
    assert supplied.failure is None
    assert supplied.facts is not None
    assert supplied.facts.pixel_spacing == (2.5, 3.0)
    assert "overridden" in supplied.facts.flags


def test_an_override_that_is_no_number_is_the_rows_own_failure(without_spacing: Path) -> None:
    told = prepare(Entry("a", str(without_spacing), overrides={"PixelSpacing": "wide"}), ORDERS)
    assert told.failure is not None
    assert told.failure.reason == "missing_tags"
    assert "manifest" in told.failure.detail
