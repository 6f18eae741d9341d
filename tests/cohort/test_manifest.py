"""What a manifest may hold, and what becomes of its columns."""

from __future__ import annotations

import gzip
from pathlib import Path

import fsspec
import pandas as pd
import pyarrow as pa
import pytest

from spinenet.cohort.manifests.columns import COLUMNS
from spinenet.cohort.manifests.manifest import Manifest, entries, read_manifest, resolve_path
from spinenet.errors import ManifestError


def read(folder: Path, text: str, name: str = "m.csv") -> Manifest:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return read_manifest(str(file))


@pytest.mark.parametrize(
    ("path", "manifest", "resolved"),
    [
        ("x", "/data/m.csv", "/data/x"),
        ("../x/y", "/data/in/m.csv", "/data/x/y"),
        ("/abs/x", "/data/m.csv", "/abs/x"),
        ("s3://bucket/x", "/data/m.csv", "s3://bucket/x"),
        ("x", "s3://bucket/cohort/m.csv", "s3://bucket/cohort/x"),
        ("zip://a/*.dcm::/data/x.zip", "/elsewhere/m.csv", "zip://a/*.dcm::/data/x.zip"),
        ("C:\\scans\\x", "/data/m.csv", "C:\\scans\\x"),
        ("~/x", "/data/m.csv", "~/x"),
        ("x", "https://host/cohort/m.csv?version=1/2", "https://host/cohort/x"),
    ],
)
def test_paths_are_seen_from_the_manifest(path: str, manifest: str, resolved: str) -> None:
    assert resolve_path(path, manifest) == resolved


def test_digest_is_of_content_not_format(tmp_path: Path) -> None:
    frame = pd.DataFrame({"scan_id": ["a", "b"], "path": ["/x", "/y"], "age": [1, 2]})
    frame.to_csv(tmp_path / "m.csv", index=False)
    frame.to_csv(tmp_path / "m.tsv", index=False, sep="\t")
    frame.to_json(tmp_path / "m.jsonl", orient="records", lines=True)
    frame.to_parquet(tmp_path / "m.parquet")
    (tmp_path / "m.csv.gz").write_bytes(gzip.compress((tmp_path / "m.csv").read_bytes()))
    digests = {
        read_manifest(str(tmp_path / f"m.{kind}")).digest
        for kind in ("csv", "tsv", "jsonl", "parquet", "csv.gz")
    }
    assert len(digests) == 1
    assert read(tmp_path, "scan_id,path,age\na,/x,1\nb,/y,3\n").digest not in digests


@pytest.mark.parametrize("mark", [";", "\t"])
def test_marks_of_spreadsheets(tmp_path: Path, mark: str) -> None:
    text = "scan_id,path,age\na,/x,1\n".replace(",", mark)
    assert read(tmp_path, text).table.select(["scan_id", "path", "age"]).to_pylist() == [
        {"scan_id": "a", "path": "/x", "age": 1}
    ]


def test_byte_order_mark_of_spreadsheets(tmp_path: Path) -> None:
    assert read(tmp_path, "\ufeffscan_id,path\na,/x\n").table["scan_id"].to_pylist() == ["a"]


def test_identifiers_stay_text(tmp_path: Path) -> None:
    table = read(tmp_path, "scan_id,path,subject_id,series_uid\n007,/x,0042,1.20\n").table
    assert table.to_pylist()[0] == {
        "scan_id": "007",
        "path": "/x",
        "subject_id": "0042",
        "series_uid": "1.20",
        "exclude": None,
    }


def test_carried_columns_keep_type_and_order(tmp_path: Path) -> None:
    manifest = read(tmp_path, "site,scan_id,age,path,note\nA,a,61.5,/x,\nB,b,70.0,/y,\n")
    assert manifest.table.column_names == [*COLUMNS, "site", "age", "note"]
    assert [(f.name, f.type) for f in manifest.carried] == [
        ("site", pa.string()),
        ("age", pa.float64()),
        ("note", pa.string()),
    ]
    assert manifest.table["age"].to_pylist() == [61.5, 70.0]


def test_categories_are_carried_as_their_values(tmp_path: Path) -> None:
    frame = pd.DataFrame({"scan_id": ["a"], "path": ["/x"], "site": pd.Categorical(["A"])})
    frame.to_parquet(tmp_path / "m.parquet")
    assert not pa.types.is_dictionary(read_manifest(str(tmp_path / "m.parquet")).carried[0].type)


def test_nested_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="column tags"):
        read(tmp_path, '{"scan_id": "a", "path": "/x", "tags": [1]}\n', "m.jsonl")


@pytest.mark.parametrize(
    ("said", "excluded", "note"),
    [
        ("", False, None),
        ("0", False, None),
        ("False", False, None),
        ("no", False, None),
        ("1", True, None),
        ("TRUE", True, None),
        ("motion artefact", True, "motion artefact"),
        ("NA", False, None),
    ],
)
def test_exclude(tmp_path: Path, said: str, excluded: bool, note: str | None) -> None:
    (entry,) = entries(read(tmp_path, f"scan_id,path,exclude\na,/x,{said}\n").table)
    assert (entry.excluded, entry.note) == (excluded, note)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("m.csv", "scan_id,path\na,/x\nb,  \nc,\n", "no path in row 2, 3;"),
        ("m.csv", "scan_id,path\n,/x\n", "no scan_id in row 1;"),
        ("m.csv", "scan_id,path\na,/x\nb,/y\na ,/z\n", "repeats scan_id a;"),
        ("m.csv", "id,file\na,/x\n", "no column scan_id and none named path; its columns are id, file"),
        ("m.csv", "scan_id,path\na,/x,more\n", "cannot be parsed"),
        ("m.csv", "scan_id,path,n\na,/x,1\n\nb,/y,1,2\n", "row 2 has 4 values where the header names 3"),
        ("m.csv", 'scan_id,path,n\na,/x,"1\nb,/y,2\n', "row 1 has a quotation mark out of place"),
        ("m.csv", 'scan_id,path,n\na,/x,"1"2\nb,/y,2\n', "row 1 has a quotation mark out of place"),
        ("m.csv", ",scan_id,path\n0,a,/x\n", "column 1 of .* has no name"),
        ("m.csv", "scan_id,path,note,note\na,/x,1,2\n", "repeats the column note"),
        ("m.csv", "scan_id,Scan_ID,ScanID,path\na,b,c,/x\nb,/y\n", "row 2 has 2 values"),
        ("m.csv", "Scan_ID,ScanID,path\na,b,/x\n", "repeats the column scan_id .as Scan_ID and ScanID."),
        ("m.csv", "scan_id,path,rows,manifest_rows\na,/x,1,2\n", "columns rows and manifest_rows"),
        ("m.csv", "scan_id,path,pixelspacing\na,/x,1\n", "write it PixelSpacing"),
        ("m.csv", "", "cannot be parsed"),
        ("m.jsonl", "", "has no rows"),
        ("m.json", ' [{"scan_id": "a", "path": "/x"}]', "JSON array; write JSON lines"),
        ("m.jsonl", '{"scan_id": "a",\n"path": "/x"}', "row 1 is no JSON object"),
        ("m.jsonl", '{"scan_id": "a", "path": "/x", "n": 1, "n": 2}', "repeats n in row 1"),
        ("m.jsonl", '{"scan_id": "a\\ud800", "path": "/x"}', "half a character"),
        ("m.jsonl", '{"scan_id": 1.0, "path": "/x"}', "neither text nor whole numbers"),
        ("m.jsonl", '{"scan_id": true, "path": "/x"}', "neither text nor whole numbers"),
        ("m.csv", "<!DOCTYPE html>", "a web page"),
        ("m.jsonl", "{not json\n", "cannot be parsed"),
        ("m.parquet", "no parquet", "cannot be parsed"),
        ("m.xlsx", "scan_id,path\na,/x\n", "is no manifest"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(ManifestError, match=said):
        read(tmp_path, text, name)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("scan_id,path\na,/x\n".encode("utf-16"), "UTF-16"),
        ("scan_id,path\na,/x\n".encode("utf-16-le"), "UTF-16"),
        ("scan_id,path\na,/x\n".encode("utf-16-be"), "UTF-16"),
        ("scan_id,path\na,/x\n".encode("utf-32"), "UTF-32"),
        ("scan_id,path\na,/x\nb,/é\n".encode("latin-1"), r"no UTF-8 text \(line 3\)"),
        (b"PK\x03\x04 a workbook", "Excel"),
        (b"\xd0\xcf\x11\xe0 a workbook", "Excel"),
        (gzip.compress(b"scan_id,path\na,/x\n", mtime=0), "gzip"),
        (b"PAR1", "let its name end in .parquet"),
    ],
)
@pytest.mark.parametrize("name", ["m.csv", "m.txt", "m.jsonl"])
def test_other_files_are_told_by_their_content(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ManifestError, match=said):
        read_manifest(str(tmp_path / name))


@pytest.mark.parametrize(
    "header",
    [
        "Scan_ID,Path,Subject ID",
        "scan id,PATH,SubjectID",
        "ScanID,path,subject-id",
        " scan_id, path, subject_id",
    ],
)
def test_names_that_are_nearly_right_are_taken(tmp_path: Path, header: str) -> None:
    (entry,) = entries(read(tmp_path, f"{header}\nNA, /x ,null\n").table)
    assert (entry.scan_id, entry.path, entry.subject_id) == ("NA", "/x", "null")


@pytest.mark.parametrize(
    ("tag", "said", "clean"),
    [
        ("PixelSpacing", "0.5\\0.6", True),
        ("PixelSpacing", "0.5 0.6", True),
        ("PixelSpacing", "[0.5, 0.6]", True),
        ("PixelSpacing", "0.5,0.6", True),
        ("PixelSpacing", "1, 1", True),
        ("PixelSpacing", "0,7", False),
        ("PixelSpacing", "0,5\\0,6", False),
        ("PixelSpacing", "0,5 0,6", False),
        ("PixelSpacing", "0.7", False),
        ("PixelSpacing", "0.5 x 0.6", False),
        ("PixelSpacing", "0.5mm\\0.6mm", False),
        ("PixelSpacing", "-1\\1", False),
        ("PixelSpacing", "nan\\1", False),
        ("PixelSpacing", "NA", False),
        ("SliceThickness", "4.4", True),
        ("SliceThickness", "4,4", False),
        ("SliceThickness", "0", False),
        ("ImageOrientationPatient", "0,1,0,0,0,-1", True),
        ("ImageOrientationPatient", "0\\1\\0\\0\\0\\-1", True),
        ("ImageOrientationPatient", "0\\1\\0\\0\\0", False),
    ],
)
def test_values_that_replace_tags_are_clean_numbers(tmp_path: Path, tag: str, said: str, clean: bool) -> None:
    text = f'scan_id,path,{tag}\na,/x,\nb,/y,"{said}"\n'
    if clean:
        assert [entry.overrides for entry in entries(read(tmp_path, text).table)] == [{}, {tag: said}]
    else:
        with pytest.raises(ManifestError, match=f"row 2: {tag} is not"):
            read(tmp_path, text)


def test_a_folder_is_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="is a folder"):
        read_manifest(str(tmp_path))


def test_a_manifest_on_other_storage() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/manifests/m.tsv", b"scan_id\tpath\na\tscans/x.zip\n")
    try:
        table = read_manifest("memory://manifests/m.tsv").table
    finally:
        memory.rm("/manifests", recursive=True)
    assert table["path"].to_pylist() == ["memory://manifests/scans/x.zip"]


def test_override_columns_are_carried_and_replace_tags(tmp_path: Path) -> None:
    manifest = read(
        tmp_path,
        "scan_id,path,PixelSpacing,SliceThickness\na,/x,0.5\\0.6,4\nb,/y,,\n",
    )
    first, second = entries(manifest.table)
    assert first.overrides == {"PixelSpacing": "0.5\\0.6", "SliceThickness": "4"}
    assert second.overrides == {}
    assert [field.name for field in manifest.carried] == ["PixelSpacing", "SliceThickness"]


def test_secrets_are_not_kept_with_a_run(tmp_path: Path) -> None:
    file = tmp_path / "m.csv"
    file.write_text("scan_id,path\na,/data/a\nb,https://me:hush@host/b\n", encoding="utf-8")
    with pytest.raises(ManifestError, match="password, token or signature in the path of row 2") as caught:
        read_manifest(str(file))
    assert "hush" not in str(caught.value)
    with pytest.raises(ManifestError, match=r"http://\*\*\*@127.0.0.1:1/m.csv holds a password") as caught:
        read_manifest("http://me:hush@127.0.0.1:1/m.csv")
    assert "hush" not in str(caught.value)
