"""Scans that a bundle is not stated to be for: each has a flag, and one sentence warns of them."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import spinenet
from flows.cli.app import app
from spinenet.cohort.begin import begin
from spinenet.cohort.domain_flag import FLAG, flagged, in_domain
from spinenet.cohort.finalise import finalise
from spinenet.cohort.part import read_part
from spinenet.cohort.pieces import do_part
from spinenet.cohort.request import RunRequest
from spinenet.cohort.rows import ScanFacts
from spinenet.weights import resolve
from spinenet.weights.domain import Domain, parse_domain
from support.cohorts import small_scan, write

LUMBAR = Domain("To be tested.", ("T1", "T2"), ("lumbar",), "Here.", "There.", ("pfirrmann",))
FACTS = ScanFacts((4, 4, 4), (1.0, 1.0), 4.0, np.eye(4), "T2", {}, ("oblique",), "f")


@pytest.mark.parametrize(
    ("sequence", "header", "levels", "inside"),
    [
        ("T2", {}, (), True),
        ("STIR", {}, (), False),
        ("other", {"echo_time": 20.0}, (), False),
        # a volume without a header: nothing says what it is
        ("other", {}, (), True),
        ("T1", {"body_part": "LSPINE"}, ("T9", "L1", "S1", None), True),
        ("T1", {"body_part": "SPINE"}, (), True),
        ("T1", {"body_part": "CSPINE"}, (), False),
        ("T2", {"body_part": "WHOLESPINE"}, (), False),
        ("T2", {}, ("T8", "T9"), False),
        ("T2", {}, ("C7",), False),
    ],
)
def test_what_is_outside(
    sequence: str, header: Mapping[str, str | float], levels: Sequence[str | None], inside: bool
) -> None:
    facts = replace(FACTS, sequence=sequence, header=dict(header))
    assert in_domain(LUMBAR, facts, levels) is inside
    assert flagged(facts, LUMBAR, levels).flags == (("oblique",) if inside else ("oblique", FLAG))
    assert flagged(facts, None, levels) is facts


@pytest.fixture
def narrow(tmp_path: Path) -> Path:
    """The bundle of drawn spines, said to be for T1 alone."""
    folder = tmp_path / "narrow"
    shutil.copytree(resolve("synthetic").folder, folder)
    file = folder / "bundle.json"
    stated = json.loads(file.read_text(encoding="utf-8"))
    stated["domain"] |= {"sequences": ["T1"], "validated": ["pfirrmann", "narrowing"]}
    file.write_text(json.dumps(stated), encoding="utf-8")
    return folder


def test_a_run_flags_such_scans_and_warns_once(
    narrow: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "b"):
        write(tmp_path / name, small_scan(0), name)
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("scan_id,path\na,a\nb,b\n", encoding="utf-8")
    out = tmp_path / "out"
    asked = RunRequest(manifest=str(manifest), out=str(out), weights=str(narrow), shard_size=1, device="cpu")
    job = begin(asked, {})
    with caplog.at_level(logging.WARNING, "spinenet"):
        do_part(job, read_part("0/1", {}, None), processes=1)
    told = [record.message for record in caplog.records if FLAG in record.message]
    assert told == [
        "the weights synthetic are stated to be for T1; cervical, thoracic, lumbar: scans that are not have"
        f" the flag {FLAG}"
    ]
    finalise(job.ledger)
    results = spinenet.read_results(str(out))
    assert all(FLAG in flags for flags in results.scans["flags"])
    assert len(results.grades) > 0, "they are read all the same"
    assert results.not_validated is not None
    assert "pfirrmann" not in results.not_validated
    said = CliRunner().invoke(app, ["status", str(out)]).output
    assert f"2  outside the weights' domain: done, with the flag {FLAG} in scans" in said
    assert "Not validated on real scans with these weights: central_canal_stenosis," in said
    account = json.loads(CliRunner().invoke(app, ["status", "--json", str(out)]).output)
    assert account["flags"][FLAG] == 2
    assert account["not_validated"] == list(results.not_validated)


def test_a_bundle_that_says_nothing_has_no_domain(narrow: Path) -> None:
    file = narrow / "bundle.json"
    stated = json.loads(file.read_text(encoding="utf-8"))
    assert resolve(str(narrow)).domain == parse_domain(stated["domain"], "here")
    del stated["domain"]
    file.write_text(json.dumps(stated), encoding="utf-8")
    assert resolve(str(narrow)).domain is None
