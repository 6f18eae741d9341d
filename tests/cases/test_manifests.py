"""Manifests as other programs and people write them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from spinenet.cohort.manifests.manifest import entries, read_manifest
from spinenet.errors import ManifestError
from support.cases import Case


def _of(name: str, text: str | bytes, told: Callable[[Path], str]) -> Callable[[Path], str]:
    def outcome(folder: Path) -> str:
        file = folder / name
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        try:
            return told(file)
        except ManifestError as error:
            sentence = str(error)
            known = (
                "UTF-16",
                "JSON lines",
                "repeats the column",
                "is not 2 numbers",
                "quotation mark",
                "Excel",
            )
            return "refused: " + next((word for word in known if word in sentence), "another sentence")

    return outcome


def _column(name: str) -> Callable[[Path], str]:
    return lambda file: " ".join(map(str, read_manifest(str(file)).table[name].to_pylist()))


def _overrides(file: Path) -> str:
    return str([dict(entry.overrides) for entry in entries(read_manifest(str(file)).table)])


_BIG = '{"scan_id": 12345678901234567890, "path": "x"}\n{"scan_id": 12345678901234567891, "path": "x"}\n'

CASES = (
    Case(
        "carried column with leading zeros",
        "7 8",
        "007 008",
        _of("m.csv", "scan_id,path,participant\na,x,007\nb,x,008\n", _column("participant")),
    ),
    Case(
        "carried numbers of 23 digits",
        "1.2345678901234568e+22 1.2345678901234568e+22",
        "12345678901234567890123 12345678901234567890124",
        _of(
            "m.csv",
            "scan_id,path,n\na,x,12345678901234567890123\nb,x,12345678901234567890124\n",
            _column("n"),
        ),
    ),
    Case(
        "carried versions 1.10 and 1.1",
        "1.1 1.1",
        "1.10 1.1",
        _of("m.csv", "scan_id,path,v\na,x,1.10\nb,x,1.1\n", _column("v")),
    ),
    Case(
        "carried TRUE and dates",
        "True 2020-01-31",
        "TRUE 2020-01-31",
        _of(
            "m.csv",
            "scan_id,path,t,d\na,x,TRUE,2020-01-31\n",
            lambda file: f"{_column('t')(file)} {_column('d')(file)}",
        ),
    ),
    Case(
        "id NA",
        "refused: another sentence",
        "NA b",
        _of("m.csv", "scan_id,path\nNA,x\nb,x\n", _column("scan_id")),
    ),
    Case(
        "subjects null and NA",
        "None None",
        "null NA",
        _of("m.csv", "scan_id,path,subject_id\na,x,null\nb,x,NA\n", _column("subject_id")),
    ),
    Case(
        "ids of 20 digits in JSON lines",
        "refused: another sentence",
        "12345678901234567890 12345678901234567891",
        _of("m.jsonl", _BIG, _column("scan_id")),
    ),
    Case(
        "a column twice",
        "a traceback",
        "refused: repeats the column",
        _of("m.csv", "scan_id,path,note,note\na,x,1,2\n", _column("note")),
    ),
    Case(
        "a JSON array",
        "refused: another sentence",
        "refused: JSON lines",
        _of("m.json", '[{"scan_id": "a", "path": "x"}]', _column("scan_id")),
    ),
    Case(
        "text as UTF-16",
        "refused: another sentence",
        "refused: UTF-16",
        _of("m.txt", "scan_id\tpath\na\tx\n".encode("utf-16"), _column("scan_id")),
    ),
    Case(
        "an Excel workbook named .csv",
        "refused: another sentence",
        "refused: Excel",
        _of("m.csv", b"PK\x03\x04\x14\x00xl/workbook.xml", _column("scan_id")),
    ),
    Case(
        "Scan_ID for scan_id",
        "refused: another sentence",
        "a",
        _of("m.csv", "Scan_ID,Path\na,x\n", _column("scan_id")),
    ),
    Case(
        "a quotation mark without its other",
        "1",
        "refused: quotation mark",
        _of(
            "m.csv",
            'scan_id,path,n\na,x,"1\nb,x,2\n',
            lambda file: str(read_manifest(str(file)).table.num_rows),
        ),
    ),
    Case(
        "PixelSpacing 0,7",
        "[{'PixelSpacing': '0,7'}]",
        "refused: is not 2 numbers",
        _of("m.csv", 'scan_id,path,PixelSpacing\na,x,"0,7"\n', _overrides),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_manifest_is_taken_as_it_says_or_refused(case: Case, tmp_path: Path) -> None:
    assert case.outcome(tmp_path) == case.right
