"""What a manifest's own columns hold is what ``scans`` holds, in whatever format it was written."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spinenet.cohort.freeze import column_types, freeze
from spinenet.cohort.manifests.column_types import TYPES, ColumnTypes, parse_types
from spinenet.cohort.manifests.manifest import read_manifest
from spinenet.cohort.plan import Conditions
from spinenet.cohort.tables import from_parquet, to_parquet, to_table
from spinenet.errors import ManifestError, OtherRun
from spinenet.storage import Store

CONDITIONS = Conditions("tiny", "f" * 64, {}, {})
TRICKY = ["007", "12345678901234567890123", "1.10", "NA", " x ", "TRUE", "True", "0x1f", "1_000", "+1", "-0"]
TRICKY += [
    "1e5",
    "1E5",
    "inf",
    "nan",
    "null",
    "None",
    "2020-01-01",
    "12:30",
    "",
    "1",
    "-7",
    "0.5",
    "1.0",
    ".5",
]
TRICKY += [
    "a,b",
    "a;b",
    'say "so"',
    "two\nlines",
    "two\r\nlines",
    "\r",
    "\t",
    "\0",
    "\x1b[1m",
    "ü",
    "\u202e",
    "🦴",
]
VALUES = st.none() | st.sampled_from(TRICKY) | st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
NUMBERS = st.none() | st.integers(-(2**70), 2**70).map(str) | st.floats(allow_nan=False).map(repr)
COLUMN = st.one_of(st.lists(VALUES, min_size=1, max_size=5), st.lists(NUMBERS, min_size=1, max_size=5))


def marked(rows: Sequence[Sequence[str | None]], mark: str) -> bytes:
    """CSV in which an empty text is in quotes and a missing value is nothing."""
    quoted = [['"' + v.replace('"', '""') + '"' if v is not None else "" for v in row] for row in rows]
    return "\r\n".join(mark.join(row) for row in quoted).encode()


def as_scans(file: Path, types: ColumnTypes | None = None) -> pa.Table:
    """The carried columns of a manifest as a run writes them into ``scans``."""
    manifest = read_manifest(str(file), None, types or ColumnTypes())
    names = [field.name for field in manifest.carried]
    rows = [{"scan_id": name, "status": "done"} for name in manifest.table["scan_id"].to_pylist()]
    table = from_parquet(to_parquet(to_table("scans", rows, manifest.table.select(names))))
    return table.select([name for name in table.column_names if name in names])


def written_back(value: object) -> str | None:
    return None if value is None else str(value)


@settings(max_examples=60)
@given(COLUMN, COLUMN)
@example(["007", "008"], ["12345678901234567890123", None])
@example(["1", "2"], ["1.5", "", None])
def test_text_comes_back_as_it_was(first: list[str | None], second: list[str | None]) -> None:
    n_rows = min(len(first), len(second))
    ids = [str(i) for i in range(n_rows)]
    columns: dict[str, list[Any]] = {
        "scan_id": ids,
        "path": ids,
        "first": first[:n_rows],
        "second": second[:n_rows],
    }
    rows = [list(columns), *zip(*columns.values(), strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"m.{kind}") for kind in ("csv", "tsv", "jsonl", "parquet")]
        files[0].write_bytes(marked(rows, ","))
        files[1].write_bytes(marked(rows, "\t"))
        lines = [json.dumps(dict(zip(columns, row, strict=True))) for row in rows[1:]]
        files[2].write_text("\n".join(lines), encoding="utf-8")
        pq.write_table(pa.table(columns, pa.schema([(name, pa.string()) for name in columns])), files[3])
        for file in files:
            table = as_scans(file)
            for name in ("first", "second"):
                told = [written_back(value) for value in table[name].to_pylist()]
                # Beside numbers an empty text is a missing one; in a column of text it stays.
                empty = "" if table.schema.field(name).type == pa.string() else None
                assert told == [empty if value == "" else value for value in columns[name]], file.suffix


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["1", "22", "-3"], "integer"),
        (["9223372036854775807"], "integer"),
        (["9223372036854775808"], "text"),
        (["007", "8"], "text"),
        (["0x1f"], "text"),
        (["1.5", "70.0"], "number"),
        (["1.5", "70"], "text"),
        (["1.10"], "text"),
        (["NA", "1"], "text"),
        (["True", "False"], "boolean"),
        (["TRUE"], "text"),
        (["2020-01-01"], "text"),
        (["", ""], "text"),
    ],
)
def test_types_are_inferred_where_nothing_is_lost(tmp_path: Path, texts: list[str], kind: str) -> None:
    file = tmp_path / "m.csv"
    file.write_text(
        "scan_id,path,x\n" + "".join(f"{i},/x,{t}\n" for i, t in enumerate(texts)), encoding="utf-8"
    )
    assert as_scans(file).schema.field("x").type == TYPES[kind]


def test_json_keeps_what_its_writer_typed(tmp_path: Path) -> None:
    file = tmp_path / "m.jsonl"
    file.write_text(
        '{"scan_id": 12345678901234567890, "path": "/x", "whole": 1, "text": "1", "real": 1.10, '
        '"truth": true}\n{"scan_id": 12345678901234567891, "path": "/x", "whole": 2, '
        '"big": 12345678901234567890123}\n',
        encoding="utf-8",
    )
    assert read_manifest(str(file)).table["scan_id"].to_pylist() == [
        "12345678901234567890",
        "12345678901234567891",
    ]
    assert as_scans(file).to_pylist() == [
        {"whole": 1, "text": "1", "real": "1.10", "truth": True, "big": None},
        {"whole": 2, "text": None, "real": None, "truth": None, "big": "12345678901234567890123"},
    ]


def test_types_are_as_their_user_says(tmp_path: Path) -> None:
    file, toml = tmp_path / "m.csv", tmp_path / "types.toml"
    file.write_text(
        'scan_id,path,age,smokes,"seen, last",n\na,/x,61,yes,2020-01-31,007\nb,/y,NA,0,,8\n', encoding="utf-8"
    )
    toml.write_text(
        'age = "number"\nsmokes = "boolean"\n"seen, last" = "date"\nn = "integer"\n', encoding="utf-8"
    )
    table = as_scans(file, ColumnTypes(parse_types(str(toml))))
    assert [str(kind) for kind in table.schema.types] == ["double", "bool", "date32[day]", "int64"]
    assert table["age"].to_pylist() == [61.0, None]
    assert table["smokes"].to_pylist() == [True, False]
    assert table["n"].to_pylist() == [7, 8]
    assert parse_types("age=number, n =text") == {"age": "number", "n": "text"}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("age=float", "a type is one of text, integer, number, boolean, date"),
        ("age=number,x", "is no COLUMN=TYPE"),
        ("nowhere.toml", "cannot read the types in nowhere.toml"),
        ("scan_id=integer", "ids and paths are always text"),
        ("absent=text", "names absent, which"),
        ("age=integer", "'6,1' in column age, row 2, which is no integer"),
    ],
)
def test_types_that_cannot_be_are_refused(tmp_path: Path, said: str, told: str) -> None:
    file = tmp_path / "m.csv"
    file.write_text('scan_id,path,age\na,/x,61\nb,/y,"6,1"\n', encoding="utf-8")
    with pytest.raises(ManifestError, match=told):
        read_manifest(str(file), None, ColumnTypes(parse_types(said)))


def begin(out: Path, file: Path, said: dict[str, str], change: str = "refuse") -> pa.Schema:
    """Begin a run, or go on with it, as the command does; the types in which it holds the columns."""
    store = Store.at(str(out))
    manifest = read_manifest(str(file), None, column_types(store, said, change))  # type: ignore[arg-type]
    plan = freeze(store, manifest, CONDITIONS, shard_size=2, about={}, change=change)  # type: ignore[arg-type]
    return pa.schema(plan.carried)


def test_rows_that_are_added_keep_to_the_types_of_the_run(tmp_path: Path) -> None:
    out, file = tmp_path / "out", tmp_path / "m.csv"
    lines = ["scan_id,path,age,code,note,n", "a,/x,61,007,,1", "b,/y,62,008,,2"]

    def write(*more: str) -> None:
        file.write_text("\n".join([*lines, *more]) + "\n", encoding="utf-8")

    write()
    held = begin(out, file, {"n": "number"})
    assert [str(kind) for kind in held.types] == ["int64", "string", "string", "double"]
    assert begin(out, file, {}) == held, "what was said holds until something else is said"
    write("c,/z,70,9,5,NA")
    assert begin(out, file, {}, "append") == held
    write("c,/z,70,9,5,NA", "d,/d,unknown,9,5,3")
    with pytest.raises(
        ManifestError, match="'unknown' in column age, row 4, and the run holds that column as int"
    ):
        begin(out, file, {}, "append")
    write("c,/z,70,9,5,NA", "d,/d,071,9,5,3")
    with pytest.raises(ManifestError, match="'071' in column age, row 4"):
        begin(out, file, {}, "append")
    anew = begin(out, file, {}, "regrade")
    assert [str(kind) for kind in anew.types] == ["string", "string", "int64", "double"]


def test_a_parquet_column_of_another_type_is_not_appended(tmp_path: Path) -> None:
    out, file = tmp_path / "out", tmp_path / "m.parquet"
    table = pa.table({"scan_id": ["a"], "path": ["/x"], "age": [61]})
    pq.write_table(table, file)
    begin(out, file, {})
    pq.write_table(pa.table({"scan_id": ["a", "b"], "path": ["/x", "/y"], "age": [61.0, 1.5]}), file)
    with pytest.raises(OtherRun, match=r"column age of .* was int64 when the run began and is double now"):
        begin(out, file, {}, "append")


def test_types_of_parquet_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "m.parquet"
    table = pa.table(
        {
            "scan_id": pa.array([7, 2**63], pa.uint64()),
            "path": ["a", "b"],
            "x": pa.array([1, None], pa.int8()),
        }
    )
    pq.write_table(table, file)
    manifest = read_manifest(str(file))
    assert manifest.table["scan_id"].to_pylist() == ["7", "9223372036854775808"]
    assert manifest.carried[0].type == pa.int8()
    with pytest.raises(ManifestError, match=r"column x .* is int8 in the file; say no other type"):
        read_manifest(str(file), None, ColumnTypes({"x": "text"}))
    pq.write_table(table.set_column(0, "scan_id", pa.array([1.0, 2.0])), file)
    with pytest.raises(ManifestError, match="values in scan_id that are neither text nor whole numbers"):
        read_manifest(str(file))
