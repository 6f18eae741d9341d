"""Rows of a scan and the tables' fixed shape."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from spinenet.anatomy import FINDINGS, LEVELS, REASONS
from spinenet.cohort.manifests.manifest import Entry
from spinenet.cohort.rows import (
    Failure,
    Provenance,
    ScanFacts,
    ScanRows,
    excluded_rows,
    failed_rows,
    result_rows,
)
from spinenet.cohort.tables import SCANS, TABLES, from_parquet, schema, to_parquet, to_table
from spinenet.types import DiscFailure, DiscGrade, Scan, SpineReading, Vertebra

ENTRY = Entry("s1", "/scans/s1", subject_id="p1")
MADE_BY = Provenance("tiny", "f" * 64, "0.1", "2.9")
AFFINE = np.array([[0, 0, -4.0, 10], [0, 0.5, 0, 20], [-0.5, 0, 0, 30], [0, 0, 0, 1]])
HEADER: dict[str, str | int | float] = {
    "series_uid": "1.2",
    "field_strength": 3,
    "PatientName": "Nobody^Else",
}
SCAN = Scan(np.zeros((8, 6, 3), np.float32), (0.5, 0.5), 4.0, AFFINE, "T2", HEADER, ("unsorted",), "c" * 64)


def vertebra(level: str, top: float = 2.0, probability: float = 0.75) -> Vertebra:
    quad = np.array([[4, top], [4, top + 2], [1, top + 2], [1, top]])
    probabilities = np.zeros(24)
    probabilities[LEVELS.index("S1" if level == "S2" else level)] = probability
    return Vertebra((1, 2), np.stack([quad, quad]), level, probabilities)


def grade(level: str) -> DiscGrade:
    spread = {f.name: np.arange(1, f.n_classes + 1) / sum(range(f.n_classes + 1)) for f in FINDINGS}
    return DiscGrade(level, 1, spread)


def rows_of(*levels: str, discs: tuple[str, ...] = ()) -> ScanRows:
    reading = SpineReading(
        tuple(map(vertebra, levels)),
        tuple(map(grade, discs)),
        (DiscFailure("L5-S1", "the disc leaves the image"),),
        {"read": 0.25, "detect": 1.5},
    )
    return result_rows(ENTRY, ScanFacts.of(SCAN), reading, MADE_BY)


@pytest.mark.parametrize("name", TABLES)
def test_full_and_empty_parts_have_one_schema(name: str) -> None:
    rows = rows_of("L4", "L5", discs=("L4-L5",))
    full = {"scans": [rows.scan], "vertebrae": rows.vertebrae, "grades": rows.grades}[name]
    read = [from_parquet(to_parquet(to_table(name, part))) for part in (full, [])]
    assert [part.num_rows for part in read] == [len(full), 0]
    assert read[0].schema.equals(read[1].schema, check_metadata=True)
    assert read[0].schema.equals(schema(name))
    assert read[0].schema.metadata == schema(name).metadata
    assert pa.concat_tables(read).num_rows == len(full)


def test_carried_columns_follow_those_of_scans() -> None:
    carried = pa.table({"age": pa.array([61.5]), "rows": pa.array(["mine"])})
    table = to_table("scans", [rows_of("L5").scan], carried)
    assert table.column_names == [*SCANS.names, "age", "manifest_rows"]
    assert table["rows"].to_pylist() == [8]
    assert table["manifest_rows"].to_pylist() == ["mine"]
    empty = to_table("scans", [], carried.slice(0, 0))
    assert empty.schema.equals(table.schema, check_metadata=True)
    assert empty.schema.equals(schema("scans", list(carried.schema)), check_metadata=True)


def test_equal_tables_give_equal_bytes() -> None:
    rows = rows_of("L4", "L5", discs=("L4-L5",))
    assert to_parquet(to_table("grades", rows.grades)) == to_parquet(to_table("grades", rows.grades))


@pytest.mark.parametrize("reason", list(REASONS))
def test_a_failed_scan_has_a_row(reason: str) -> None:
    rows = failed_rows(ENTRY, Failure(reason, "said", {"read": 2.0}), MADE_BY)
    (told,) = to_table("scans", [rows.scan]).to_pylist()
    assert (told["status"], told["reason"], told["detail"]) == ("failed", reason, "said")
    assert (told["seconds_read"], told["seconds_grade"], told["rows"]) == (2.0, None, None)
    assert not rows.vertebrae
    assert not rows.grades


def test_a_failed_scan_that_was_read_has_its_geometry() -> None:
    rows = failed_rows(ENTRY, Failure("no_vertebrae", "none"), MADE_BY, ScanFacts.of(SCAN))
    (told,) = to_table("scans", [rows.scan]).to_pylist()
    assert (told["rows"], told["columns"], told["slices"]) == (8, 6, 3)
    assert (told["sequence"], told["field_strength_t"], told["flags"]) == ("T2", 3.0, ["unsorted"])


def test_an_unknown_reason_is_refused() -> None:
    with pytest.raises(KeyError):
        to_table("scans", [failed_rows(ENTRY, Failure("no_such_reason", ""), MADE_BY).scan])


def test_an_excluded_scan_says_why() -> None:
    rows = excluded_rows(Entry("s1", "/scans/s1", excluded=True, note="motion"))
    (told,) = to_table("scans", [rows.scan]).to_pylist()
    assert (told["status"], told["reason"], told["detail"]) == ("excluded", None, "motion")
    assert told["weights"] is None


def test_a_done_scan_counts_its_rows() -> None:
    rows = rows_of("L3", "L4", "L5", discs=("L3-L4", "L4-L5"))
    (told,) = to_table("scans", [rows.scan]).to_pylist()
    assert (told["status"], told["reason"]) == ("done", None)
    assert (told["n_vertebrae"], told["n_discs"]) == (3, 2) == (len(rows.vertebrae), len(rows.grades))
    assert told["failed_discs"] == ["L5-S1"]
    assert "the disc leaves the image" in told["detail"]


def test_improbable_levels_are_flagged() -> None:
    def flags(*probabilities: float) -> list[str]:
        found = [vertebra(level, probability=p) for level, p in zip(LEVELS, probabilities, strict=False)]
        rows = result_rows(ENTRY, ScanFacts.of(SCAN), SpineReading(tuple(found)), MADE_BY)
        (told,) = to_table("scans", [rows.scan]).to_pylist()
        return list(told["flags"])

    assert flags(0.9, 0.1, 0.8) == ["unsorted"]
    assert flags(0.1, 0.1, 0.8) == ["unsorted", "levels_uncertain"]


def test_what_is_no_spine_has_a_row_of_scans_alone() -> None:
    found = (vertebra("L4", probability=0.1), vertebra("L5", probability=0.1))
    reading = SpineReading(found, not_a_spine=True, seconds={"read": 0.5})
    rows = result_rows(ENTRY, ScanFacts.of(SCAN), reading, MADE_BY)
    (told,) = to_table("scans", [rows.scan]).to_pylist()
    assert (told["status"], told["reason"], told["flags"]) == ("done", None, ["unsorted", "not_a_spine"])
    assert (told["n_vertebrae"], told["n_discs"], told["rows"], told["seconds_read"]) == (0, 0, 8, 0.5)
    assert told["detail"] == "2 outlines were found, which do not stand as vertebrae do"
    assert (rows.vertebrae, rows.grades) == ((), ())


def test_no_name_of_a_person_gets_in() -> None:
    rows = rows_of("L5", discs=("L5-S1",))
    assert "Nobody" not in repr(rows)
    assert "Nobody" not in repr(to_table("scans", [rows.scan]).to_pylist())


def test_a_level_appears_once_in_a_scan() -> None:
    rows = rows_of("T12", "L1", "L1", "S1", "S2", "S2", discs=("T12-L1", "L1-L2", "L1-L2", "S1-S2"))
    for name, levels in (("vertebrae", ["T12", "L1", "S1", "S2"]), ("grades", ["T12-L1", "L1-L2", "S1-S2"])):
        table = to_table(name, getattr(rows, name)).to_pylist()
        assert [row["level"] for row in table] == levels
        assert len({(row["scan_id"], row["level"]) for row in table}) == len(table)
    assert rows.scan["n_vertebrae"] == 4


def test_every_level_has_a_code() -> None:
    levels = (*reversed(LEVELS), "S2")
    discs = tuple(f"{a}-{b}" for a, b in pairwise(levels))
    rows = rows_of(*levels, discs=discs)
    assert to_table("vertebrae", rows.vertebrae)["level"].to_pylist() == list(levels)
    assert to_table("grades", rows.grades)["level"].to_pylist() == list(discs)


def test_corners_and_centre_of_a_vertebra() -> None:
    (told,) = to_table("vertebrae", rows_of("S2").vertebrae).to_pylist()
    assert (told["rt_x"], told["rt_y"], told["lb_x"], told["lb_y"]) == (4, 2, 1, 4)
    # The centre is at row 3, column 2.5, slice 1.5.
    assert (told["centre_x_mm"], told["centre_y_mm"], told["centre_z_mm"]) == (4.0, 21.25, 28.5)
    assert (told["slices"], told["level_probability"]) == ([1, 2], 0.75)


def test_grades_and_their_probabilities() -> None:
    (told,) = to_table("grades", rows_of("L4", "L5", discs=("L4-L5",)).grades).to_pylist()
    for finding in FINDINGS:
        weights = dict(zip(finding.values, range(1, finding.n_classes + 1), strict=True))
        total = sum(weights.values())
        assert told[finding.name] == finding.values[-1]
        shown = finding.values if finding.ordinal else finding.values[-1:]
        for value in shown:
            assert told[f"{finding.name}_p{value}"] == pytest.approx(weights[value] / total)
        if finding.ordinal:
            expected = sum(v * w for v, w in weights.items()) / total
            assert told[f"{finding.name}_expected"] == pytest.approx(expected)
    assert "herniation_p0" not in told
    assert "herniation_expected" not in told
    assert told["herniation_p1"] == pytest.approx(2 / 3)
