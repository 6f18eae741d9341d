"""An index says the same in every format that its name may ask for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from spinenet.cohort.manifests.manifest import entries, read_manifest
from spinenet.errors import ManifestError, OutputError
from spinenet.index.catalogue import check_place, read_index, write_index
from spinenet.index.formats import SUFFIXES, suffix_of
from spinenet.index.schema import SERIES

MARK = "folders"
PLACE = {"place": "/data/a", "stamp": "s", "n_files": 3, "n_dicom": 3, "n_series": 3, "bytes_read": 9}


def row(scan_id: str, **values: Any) -> dict[str, Any]:
    empty: dict[str, Any] = dict.fromkeys(SERIES.names)
    return {
        **empty,
        "scan_id": scan_id,
        "path": f"/data/a/{scan_id}",
        "usable": True,
        "places": ["/data/a"],
    } | values


ROWS = (
    row("007", subject_id="0012", series_uid="1.10", exclude="no rule", row_spacing_mm=1.0, bytes=2**53 + 1),
    row("1.10", subject_id="00", description='say "T2", now', row_spacing_mm=0.1 + 0.2, field_strength=1e-7),
    row("1e5", subject_id="café; x", path="/data/a/with, comma", usable=False, reason="no_files"),
)  # fmt: skip


def read_back(place: Path) -> list[Mapping[str, Any]]:
    return [vars(entry) for entry in entries(read_manifest(str(place)).table)]


@pytest.mark.parametrize("suffix", SUFFIXES)
class TestEachFormat:
    def test_a_run_reads_the_same_rows(self, tmp_path: Path, suffix: str) -> None:
        for name in (f"series{suffix}", "truth.parquet"):
            write_index(str(tmp_path / name), ROWS, [PLACE], MARK)
        assert read_back(tmp_path / f"series{suffix}") == read_back(tmp_path / "truth.parquet")
        carried = read_manifest(str(tmp_path / f"series{suffix}")).table
        assert carried["scan_id"].to_pylist() == ["007", "1.10", "1e5"]
        assert carried["row_spacing_mm"].to_pylist() == [1.0, 0.1 + 0.2, None]
        assert carried["field_strength"].to_pylist() == [None, 1e-7, None]
        assert carried["bytes"].to_pylist() == [2**53 + 1, None, None]

    def test_the_next_index_goes_on_from_it(self, tmp_path: Path, suffix: str) -> None:
        place = tmp_path / f"series{suffix}"
        write_index(str(place), ROWS, [PLACE], MARK)
        check_place(str(place))
        found = list(read_index(str(place), MARK).rows)
        # what chose among the rows is chosen anew; values and types are those that were written
        for there, wanted in zip(found, ROWS, strict=True):
            kept = [name for name in SERIES.names if name not in ("usable", "reason", "detail")]
            assert [there[name] for name in kept] == [wanted[name] for name in kept]
        place.write_bytes(place.read_bytes() + b"\n")
        assert not list(read_index(str(place), MARK).rows)


def test_files_beside_two_formats_do_not_meet(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        write_index(str(tmp_path / f"series{suffix}"), ROWS, [PLACE], MARK)
    for suffix in SUFFIXES:
        assert len(list(read_index(str(tmp_path / f"series{suffix}"), MARK).rows)) == len(ROWS)


def test_places_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "mine.csv").write_text("scan_id,path\na,b\n", encoding="utf-8")
    with pytest.raises(OutputError, match=r"folder\.csv is a folder"):
        check_place(str(tmp_path / "folder.csv"))
    with pytest.raises(ManifestError, match=r"mine\.csv is there and was not written by index"):
        check_place(str(tmp_path / "mine.csv"))
    with pytest.raises(OutputError, match="is a file, not a folder"):
        check_place(str(tmp_path / "mine.csv" / "series.csv"))
    with pytest.raises(ManifestError, match=r"\.parquet, \.csv, \.tsv, \.jsonl"):
        check_place(str(tmp_path / "series.xlsx"))
    for name in SUFFIXES:
        assert suffix_of(name) is None
