"""The command ``index`` end to end: a small tree of everything, gone through by a local Dask cluster."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pydicom
import pytest

from flows.cli.app import exit_status
from flows.index_run import Subjects
from spinenet.cohort.manifests.manifest import entries, read_manifest
from spinenet.errors import ScanError
from spinenet.preflight.manifest_check import check_manifest
from spinenet.readers.series import read_scan
from support.canary import CANARY, NEEDED, with_canary
from support.cohorts import BROKEN, small_scan, spinenet, write


def canaries(root: Path) -> None:
    """A usable series with the canary wherever there is text, and others with it where it does harm."""
    base = small_scan(1)
    everything = frozenset(NEEDED)
    # a manifest finds a series by its SeriesInstanceUID, so that one is told as it stands
    for keyword in (None, *(keyword for keyword in NEEDED if keyword != "SeriesInstanceUID")):
        folder = root / f"subject-{keyword or 'all'}"
        for file in write(folder, base, keyword or "all"):
            dataset = pydicom.dcmread(file)
            with_canary(dataset, everything - ({keyword} if keyword != "SpecificCharacterSet" else set()))
            dataset.save_as(file)
            if keyword == "SpecificCharacterSet":
                # as long as the canary; there is no writing with such a one
                file.write_bytes(file.read_bytes().replace(b"ISO_IR 192", CANARY.encode()))
    broken = root / "subject-broken"
    broken.mkdir()
    for number, file in enumerate(sorted((root / "subject-all").iterdir())):
        data = file.read_bytes()
        at = data.index(CANARY.encode()) + 20 + 40 * number
        (broken / f"{number}").write_bytes(data[:at] + b"\xff" * 300)
    volume = nibabel.Nifti1Image(np.zeros((5, 16, 20), np.int16), np.diag([4.4, 0.6, 0.7, 1.0]))
    volume.header["descrip"] = CANARY.encode()
    volume.header["aux_file"] = CANARY.encode()
    nibabel.save(volume, root / "sub-01_T2w.nii")
    said = dict.fromkeys(("PatientName", "SeriesDescription", "ProtocolName", "Manufacturer"), CANARY)
    (root / "sub-01_T2w.json").write_text(json.dumps(said | {"EchoTime": CANARY}), encoding="utf-8")
    shutil.copy(root / "sub-01_T2w.json", root / "sub-02_T2w.json")
    (root / "sub-02_T2w.nii").write_bytes(CANARY.encode() * 100)


def cohort(root: Path) -> None:
    """Good scans, one of each broken kind, a series in pieces, a copy, and one packed."""
    base = small_scan(0)
    for name in ("good-1", "good-2", "packed", "pieces"):
        write(root / name, base, name)
    shutil.make_archive(str(root / "packed"), "zip", root / "packed")
    shutil.rmtree(root / "packed")
    shutil.copytree(root / "good-1", root / "good-1" / "copy")
    for number, file in enumerate(sorted((root / "pieces").iterdir())):
        piece = root / "pieces" / f"{number}"
        piece.mkdir()
        file.rename(piece / file.name)
    for reason, make in BROKEN.items():
        make(root / f"bad-{reason}", base, reason)


@dataclass(frozen=True)
class Indexed:
    """A tree, its manifests with and without a key, and what the command said each time."""

    root: Path
    out: Path
    keyed: Path
    said: tuple[subprocess.CompletedProcess[str], ...]

    @property
    def rows(self) -> pd.DataFrame:
        """By what the path is below the root."""
        table = pd.DataFrame(pq.read_table(self.out).to_pylist(), dtype=object)
        return table.set_index(table["path"].str.removeprefix(f"{self.root}/"))


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Indexed:
    folder = tmp_path_factory.mktemp("index")
    root, out = folder / "root", folder / "out"
    cohort(root)
    canaries(root / "birds")
    (folder / "key").write_bytes(os.urandom(32).replace(b"\n", b"x"))
    manifests = out / "plain.parquet", out / "keyed.parquet"
    said = (
        spinenet("index", root, "-o", manifests[0]),
        spinenet("--debug", "index", root, "-o", manifests[1], "--subject-key-file", folder / "key"),
    )
    return Indexed(root, *manifests, said)


def test_every_series_has_a_row(indexed: Indexed) -> None:
    assert [process.returncode for process in indexed.said] == [0, 0], indexed.said[0].stderr
    rows = indexed.rows
    assert {name: rows["purpose"][name] for name in ("good-1/*", "good-2", "packed.zip", "pieces")} == {
        name: "grading" for name in ("good-1/*", "good-2", "packed.zip", "pieces")
    }
    assert rows["reason"]["good-1/copy"] == "duplicate_series"
    assert rows["slices"]["pieces"] == len(list((indexed.root / "pieces").iterdir()))
    assert rows["subject_id"]["packed.zip"] == "packed"
    assert rows["scan_id"].is_unique
    shown = {"too_few_slices", "bad_pixels", "duplicate_series", "no_files"}
    assert all(reason in indexed.said[0].stdout for reason in shown)
    assert "to be graded" in indexed.said[0].stdout
    for process in indexed.said:
        assert re.search(r"INFO \d+ files looked at, \d+ series found", process.stderr)


def outcome(row: Mapping[Hashable, Any]) -> str | None:
    try:
        read_scan(row["path"], series_uid=row["series_uid"])
    except ScanError as error:
        return error.reason
    return None


def test_the_verdicts_are_the_readers(indexed: Indexed) -> None:
    rows = indexed.rows
    for row in rows.reset_index(drop=True).to_dict("records"):
        if row["reason"] in ("duplicate_series", "several_series"):
            continue
        assert row["reason"] == outcome(row), row["path"]
    rows = rows[rows.index.str.startswith("bad-")]
    shown = set(BROKEN) - {"path_missing"}
    assert {str(name).split("/")[0]: reason for name, reason in rows["reason"].items()} == {
        f"bad-{reason}": reason for reason in shown
    }


def test_the_manifest_can_be_run(indexed: Indexed) -> None:
    for file in (indexed.out, indexed.keyed):
        manifest = read_manifest(str(file))
        graded = [entry for entry in entries(manifest.table) if not entry.excluded]
        purposes = pd.read_parquet(file).set_index("scan_id")["purpose"]
        assert {entry.scan_id for entry in graded} == set(purposes.index[purposes == "grading"])
        assert check_manifest(str(file)).n_problems == 0


def test_the_canary_is_in_the_headers(indexed: Indexed) -> None:
    birds = indexed.root / "birds"
    row = indexed.rows.loc["birds/subject-all"]
    assert row["usable"], row["detail"]
    told = next((birds / "subject-all").iterdir()).read_bytes()
    assert told.count(CANARY.encode()) > 1500
    assert all(
        CANARY.encode() in file.read_bytes()
        for file in birds.rglob("*")
        if file.is_file() and file.suffix != ".json"
    )


def test_no_text_of_a_header_gets_out(indexed: Indexed) -> None:
    files = [file for file in indexed.out.parent.rglob("*") if file.is_file()]
    assert len(files) == 4
    texts = [process.stdout + process.stderr for process in indexed.said]
    for file in files:
        assert CANARY.lower().encode() not in file.read_bytes().lower()
        texts.append(repr(pd.read_parquet(file).to_dict("records")))
    for text in texts:
        assert "canary" not in text.lower()
        assert "Synthetic^" not in text


def test_keyed_subjects(indexed: Indexed) -> None:
    keyed = pd.read_parquet(indexed.keyed).set_index("path")
    plain = pd.read_parquet(indexed.out).set_index("path")
    assert keyed["subject_id"].str.startswith("subject-").sum() > 10
    assert keyed["subject_id"].str.startswith("sub-0").sum() == 2
    subjects = keyed["subject_id"].to_dict()
    one = subjects[str(indexed.root / "good-1" / "*")]
    assert one == subjects[str(indexed.root / "good-1" / "copy")]
    assert one != subjects[str(indexed.root / "good-2")]
    assert plain.loc[str(indexed.root / "good-1" / "*"), "subject_id"] == "good-1"


def test_a_second_run_reads_nothing(indexed: Indexed) -> None:
    before = [file.read_bytes() for file in (indexed.out, indexed.keyed)]
    again = spinenet("index", indexed.root, "-o", indexed.out, timeout=60)
    assert again.returncode == 0, again.stderr
    assert (
        f"0 of {pd.read_parquet(indexed.out.with_suffix('.places.parquet'))['n_files'].sum()} files read"
        in (again.stdout)
    )
    assert [file.read_bytes() for file in (indexed.out, indexed.keyed)] == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--rules", "{}/rules.toml"), "the rules name sequenze"),
        (("--rules", "{}/absent.toml"), "cannot read"),
        (("--subject-key-file", "{}/short"), "use 16 or more"),
        (("--subjects", "{}/rules.toml"), "columns path and subject_id"),
        (("--subjects", "{}/blank.csv"), "a row without"),
        (("{}/absent",), "there is nothing at"),
        (("nonsense://bucket",), "cannot open nonsense://bucket"),
    ],
)
def test_bad_usage_is_one_sentence(
    tmp_path: Path,
    arguments: tuple[str, ...],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "rules.toml").write_text('[[grading]]\nsequenze = "T2"', encoding="utf-8")
    (tmp_path / "short").write_text("short", encoding="utf-8")
    (tmp_path / "blank.csv").write_text("path,subject_id\na,\n", encoding="utf-8")
    out = tmp_path / "m.parquet"
    root = () if len(arguments) == 1 else (str(tmp_path),)
    words = ["index", *root, "-o", str(out), *(part.format(tmp_path) for part in arguments)]
    assert exit_status(words) == 2
    told = capsys.readouterr().err
    assert said in told
    assert len(told.strip().splitlines()) == 1
    assert not out.exists()


def test_the_mark_of_a_key_does_not_tell_it() -> None:
    keys = (b"0123456789abcdef", b"fedcba9876543210")
    marks = {Subjects(key).mark for key in (b"", *keys)}
    assert len(marks) == 3
    assert not any(key.decode() in mark for key in keys for mark in marks)
    assert Subjects(keys[0]).mark == dataclasses.replace(Subjects(), key=keys[0]).mark
