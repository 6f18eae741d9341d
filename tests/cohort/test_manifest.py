"""What a manifest may hold, and what becomes of its columns."""

from __future__ import annotations

import gzip
from pathlib import Path

import fsspec
import pandas as pd
import pyarrow as pa
import pytest

from spinenet.cohort.manifest import COLUMNS, Manifest, entries, read_manifest, resolve_path
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
    manifest = read(tmp_path, "site,scan_id,age,path,note\nA,a,61.5,/x,\nB,b,70,/y,\n")
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
        ("m.csv", "", "cannot be parsed"),
        ("m.jsonl", "{not json\n", "cannot be parsed"),
        ("m.parquet", "no parquet", "cannot be parsed"),
        ("m.xlsx", "scan_id,path\na,/x\n", "is no manifest"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(ManifestError, match=said):
        read(tmp_path, text, name)


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
    with pytest.raises(ManifestError, match=r"cannot read http://\*\*\*@127.0.0.1:1/m.csv") as caught:
        read_manifest("http://me:hush@127.0.0.1:1/m.csv")
    assert "hush" not in str(caught.value)
