"""Public functions have an example in their docstring, and every example is run."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import spinenet
from spinenet import weights
from spinenet.cohort.finalise import finalise
from spinenet.cohort.ledger import Commit
from spinenet.cohort.pieces import plan_run
from spinenet.cohort.request import RunRequest
from spinenet.cohort.tables import to_table
from spinenet.storage import Store
from support.cohorts import small_scan, write
from support.no_op_steps import decode, infer
from support.run_without_models import begin
from support.tiny_networks import tiny_bundle

API = Path(__file__).parents[1] / "docs" / "reference" / "api.md"
PUBLIC = (
    *(f"spinenet.{name}" for name in spinenet.__all__ if name != "io"),
    *(f"spinenet.io.{name}" for name in spinenet.io.__all__),
    "spinenet.cohort.results.Results",
    "spinenet.readers.series.read_scan",
    "spinenet.weights.resolve",
    "spinenet.inference.pipeline.read_spine",
    "spinenet.cohort.request.RunRequest",
    "spinenet.cohort.pieces.plan_run",
    "spinenet.cohort.begin.take_up",
    "spinenet.cohort.pieces.do_part",
    "spinenet.cohort.pieces.finalise_run",
)
"""What others call: the package, ``spinenet.io``, and what the steps of a run of one's own are made of."""
USUAL = {"spinenet": spinenet, "np": np, "pd": pd, "Path": Path}
"""Names that examples take as imported."""


def named(name: str) -> Any:
    """The object of a dotted name."""
    module, _, last = name.rpartition(".")
    return getattr(importlib.import_module(module), last)


def examples_of(thing: object) -> list[doctest.Example]:
    """Those of one docstring."""
    return doctest.DocTestParser().get_examples(inspect.getdoc(thing) or "")


def methods_of(thing: object) -> Iterator[tuple[str, object]]:
    """Public methods of a class."""
    for name, value in vars(thing).items() if inspect.isclass(thing) else ():
        if inspect.isfunction(value) and not name.startswith("_"):
            yield name, value


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as examples have it: a drawn ``scan``, its zip in ``mirror``, a finished run in ``OUT``."""
    place = tmp_path_factory.mktemp("examples")
    write(place / "scan", small_scan(0), "scan")
    shutil.make_archive(str(place / "mirror" / "t2_lumbar_scan_1"), "zip", place / "scan")
    (place / "manifest.csv").write_text("scan_id,path\ns1,scan\n", encoding="utf-8")
    plan_run(RunRequest(manifest=str(place / "manifest.csv"), out=str(place / "PIECES"), weights="synthetic"))
    ledger = begin(Store.at(str(place / "OUT")), n_rows=2, shard_size=2)
    shard = ledger.plan.shard(0)
    rows = [infer(decode(entry, None), None).rows for entry in shard.entries]  # type: ignore[arg-type]
    tables = {
        "scans": to_table("scans", [row.scan for row in rows], shard.carried),
        "vertebrae": to_table("vertebrae", [bone for row in rows for bone in row.vertebrae]),
        "grades": to_table("grades", [disc for row in rows for disc in row.grades]),
    }
    assert ledger.commit(Commit(0, 0, ledger.stage(0, tables), {"done": len(rows)}))
    finalise(ledger)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SPINENET_HOME", str(place / "home"))
        tiny_bundle(weights.folder_of(weights.PUBLISHED))
    return place


def run(examples: list[doctest.Example], name: str) -> str:
    """What went wrong in the examples of one docstring."""
    told: list[str] = []
    test = doctest.DocTest(examples, dict(USUAL), name, None, None, None)
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=told.append)
    return "".join(told)


@pytest.mark.parametrize("name", PUBLIC)
def test_examples_are_there_and_true(name: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("SPINENET_HOME", str(place / "home"))
    thing = named(name)
    story = examples_of(thing)
    called = "".join(example.source for example in story)
    for method, function in methods_of(thing):
        own = examples_of(function)
        assert own or f".{method}(" in called, f"{name}.{method} has no example"
        assert not run(own, f"{name}.{method}")
        story += own
    assert story, f"{name} has no example"
    assert not any(doctest.SKIP in example.options for example in story), f"{name} has one that is left out"
    assert not run(examples_of(thing), name)


def test_an_example_that_is_wrong_is_told() -> None:
    wrong = doctest.DocTestParser().get_examples(">>> 1 + 1\n3\n")
    assert "Expected:\n    3\nGot:\n    2" in run(wrong, "wrong")


def test_what_the_page_of_the_api_names_is_among_them() -> None:
    page = API.read_text(encoding="utf-8")
    shown = set(re.findall(r"auto(?:function|class):: (\S+)", page))
    for module, members in re.findall(r"automodule:: (\S+)\n +:members: (.+)", page):
        shown |= {f"{module}.{member}" for member in members.split(", ")}
    assert len(shown) >= 9
    assert shown <= set(PUBLIC)
