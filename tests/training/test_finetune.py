"""A finding of the user's own: learnt from a run's discs or vertebrae, added to a bundle, then graded."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from flows.cli.app import exit_status
from flows.cli.terminal import DONE, USAGE
from spinenet.cohort.results import read_results
from spinenet.cohort.tables import schema
from spinenet.errors import LabelsError, RunError, WeightsError
from spinenet.training.tuning.finetune import FinetuneSummary, finetune
from spinenet.training.tuning.request import FinetuneRequest
from spinenet.weights import resolve, verify
from spinenet.weights.description import added_file
from spinenet.weights.networks import load_networks
from support.toy_training import environment
from support.tuning_runs import TuningRun, tuning_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TuningRun:
    """A finished run, which no test changes but by what it caches."""
    return tuning_run(tmp_path_factory.mktemp("tuning"))


@pytest.fixture(scope="module")
def labels(run: TuningRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels of all discs of the run."""
    return run.labels(tmp_path_factory.mktemp("labels") / "labels.csv")


@pytest.fixture
def pool() -> Iterator[Executor]:
    """A worker in this process, which has torch already."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


def request_of(run: TuningRun, labels: Path | str, **more: Any) -> FinetuneRequest:
    fields = {"out": str(run.out), "labels": str(labels), "finding": "bright", "copies": 1, "steps": 300}
    fields |= {"learning_rate": 2e-3, "weight_decay": 0.3, "seed": 2}
    return FinetuneRequest(**{**fields, **more})


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def changed(labels: Path, file: Path, change: Any) -> Path:
    """The labels with each row changed; rows for which the change returns None are left out."""
    rows = [new for row in rows_of(labels) if (new := change(dict(row))) is not None]
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return file


def state_of(bundle: Path, finding: str = "bright") -> bytes:
    return (bundle / added_file(finding)).read_bytes()


def test_learnt_then_graded_again(run: TuningRun, labels: Path, tmp_path: Path, pool: Executor) -> None:
    disc = finetune(request_of(run, labels, bundle=str(tmp_path / "disc")), pool)
    assert disc.figures["test"]["balanced_accuracy"][0] > 0.9
    bodies = run.labels(tmp_path / "bodies.csv", "vertebra")
    both = tmp_path / "both"
    more: dict[str, Any] = {
        "of": "vertebra",
        "column": "bright",
        "finding": "bright_body",
        "weights": str(disc.bundle),
    }
    more |= {"codes": {0: "dark", 1: "bright"}, "free": "last", "steps": 4, "batch": 8, "bundle": str(both)}
    finetune(request_of(run, bodies, **more), pool)
    assert [finding.name for finding in verify(both).added] == ["bright", "bright_body"]
    # the networks are the base's, byte by byte, and so is the first head
    assert dict(resolve(run.bundle).digests).items() <= dict(resolve(both).digests).items()
    assert state_of(both) == state_of(tmp_path / "disc")

    out = tmp_path / "OUT"
    shutil.copytree(run.out, out)
    before = {name: pd.read_parquet(out / name) for name in ("grades", "vertebrae")}
    TuningRun(run.manifest, out, run.bundle, run.discs, run.bodies).regraded(both)
    for name, columns in (
        ("grades", ["bright", "bright_p1"]),
        ("vertebrae", ["bright_body", "bright_body_p1"]),
    ):
        after = pd.read_parquet(out / name)
        assert list(after.columns) == [*before[name].columns, *columns]
        pd.testing.assert_frame_equal(after[before[name].columns], before[name], check_exact=True)
        assert after[columns].notna().all().all()
    grades = pd.read_parquet(out / "grades")
    truth = {(row["scan_id"], row["disc"]): int(row["bright"]) for row in rows_of(labels)}
    told = [truth[scan_id, level] for scan_id, level in zip(grades["scan_id"], grades["level"], strict=True)]
    assert (grades["bright"].to_numpy() == np.array(told)).mean() > 0.9
    assert read_results(str(out)).grades["bright"].dtype == "Int8"

    declared = pq.read_schema(next((out / "vertebrae").glob("*.parquet")))
    field = declared.field("bright_body")
    assert json.loads(field.metadata[b"codes"]) == {"0": "dark", "1": "bright"}
    assert b"0 dark, 1 bright" in field.metadata[b"description"]
    wanted = schema("vertebrae", added=resolve(both).added)
    assert declared.names == wanted.names
    assert [declared.field(n).metadata for n in columns] == [wanted.field(n).metadata for n in columns]


def test_nothing_is_cut_or_passed_twice(
    run: TuningRun, labels: Path, tmp_path: Path, pool: Executor, caplog: pytest.LogCaptureFixture
) -> None:
    cache = f"memory://{uuid.uuid4().hex}"
    first = finetune(request_of(run, labels, cache=cache, steps=25, bundle=str(tmp_path / "a")), pool)
    assert (first.count.cut, first.count.passed, first.count.cached) == (12, 12, 0)
    again = finetune(request_of(run, labels, cache=cache, steps=25, bundle=str(tmp_path / "b")), pool)
    assert (again.count.cut, again.count.passed, again.count.cached) == (0, 0, 12)
    assert state_of(tmp_path / "a") == state_of(tmp_path / "b")
    # more copies: other features, of the images that are there
    more = finetune(request_of(run, labels, cache=cache, steps=25, copies=0), pool)
    assert (more.count.cut, more.count.passed) == (0, 12)
    memory = fsspec.filesystem("memory")
    (lost,) = memory.glob(f"{cache}/volumes/*/*.safetensors")[:1]
    memory.pipe_file(lost, b"cut short")
    free = finetune(request_of(run, labels, cache=cache, steps=1, free="last"), pool)
    assert (free.count.cut, free.count.cached) == (1, 11)


def test_a_run_in_an_object_store(run: TuningRun, labels: Path, pool: Executor) -> None:
    url = f"memory://{uuid.uuid4().hex}"
    memory = fsspec.filesystem("memory")
    for file in run.out.rglob("*"):
        if file.is_file() and "finetune" not in file.parts:
            memory.pipe_file(f"{url}/{file.relative_to(run.out)}", file.read_bytes())
    done = finetune(request_of(run, labels, out=url, steps=25, copies=0), pool)
    assert done.count.cut == 12
    assert memory.glob(f"{url}/_run/finetune/features/*/*.safetensors")


def test_missing_labels_subjects_and_other_files(
    run: TuningRun, labels: Path, tmp_path: Path, pool: Executor
) -> None:
    def gone(row: dict[str, str]) -> dict[str, str]:
        number = row.pop("scan_id").removeprefix("scan-")
        level = row.pop("disc").lower().replace("-", "/")
        return {
            "Subject ID": f"sub-{number}",
            "Disc": level,
            "bright": "" if int(number) < 2 else row["bright"],
        }

    file = changed(labels, tmp_path / "labels.csv", gone)
    table = pd.read_csv(file).to_parquet
    table(tmp_path / "labels.parquet")
    done = [finetune(request_of(run, path, steps=25), pool) for path in (file, tmp_path / "labels.parquet")]
    assert [(one.examples, one.subjects) for one in done] == [(40, 10), (40, 10)]
    assert done[0].figures == done[1].figures


def test_split_curve_and_folds(run: TuningRun, labels: Path, tmp_path: Path, pool: Executor) -> None:
    def sided(row: dict[str, str]) -> dict[str, str]:
        number = int(row["scan_id"].removeprefix("scan-"))
        return row | {"side": "test" if number < 3 else "develop" if number < 5 else "train"}

    file = changed(labels, tmp_path / "labels.csv", sided)
    asked = request_of(run, file, split="side", folds=4, curve=(4, 8), steps=25, bundle=str(tmp_path / "new"))
    figures = finetune(asked, pool).figures
    assert (figures["test"]["subjects"], figures["cross_validation"]["subjects"]) == (3, 12)
    assert [(p["learnt_from"], p["subjects"]) for p in figures["curve"]] == [(4, 3), (8, 3)]
    low = figures["test"]["balanced_accuracy"]
    assert low[1] <= low[0] <= low[2]
    card = (tmp_path / "new" / "card.md").read_text(encoding="utf-8")
    assert "| learnt from 8 subjects | 12 | 3 |" in card
    # nobody's name is in the bundle
    assert not {"scan-00", "sub-00"} & set((tmp_path / "new" / "bundle.json").read_text().split('"'))
    with pytest.raises(LabelsError, match="asks for 10 subjects, and 9 with labels"):
        finetune(asked.model_copy(update={"curve": (10,)}), pool)
    both = changed(
        file, tmp_path / "both.csv", lambda r: r | {"side": "test" if r["disc"] > "T1" else r["side"]}
    )
    with pytest.raises(LabelsError, match="subject 'sub-03' is on two sides of 'side': "):
        finetune(asked.model_copy(update={"labels": str(both)}), pool)


def test_ordinal_and_classes(run: TuningRun, labels: Path, tmp_path: Path, pool: Executor) -> None:
    def graded(row: dict[str, str]) -> dict[str, str]:
        return row | {"bright": str(int(row["bright"]) * (1 + (row["disc"] > "C7")))}

    file = changed(labels, tmp_path / "labels.csv", graded)
    done = finetune(request_of(run, file, scale="ordinal", steps=25), pool)
    assert {"kappa", "within_one"} <= done.figures["test"].keys()
    assert done.finding.codes == (0, 1, 2)
    names = [name for name, _ in done.finding.columns()]
    assert names == ["bright", "bright_p0", "bright_p1", "bright_p2", "bright_expected"]
    done = finetune(request_of(run, file, scale="classes", steps=25), pool)
    assert [name for name, _ in done.finding.columns()] == names[:-1]


GUARDS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no disc of the run": (
        lambda r: r | {"disc": "L4-L5"},
        {},
        "48 of 48 labels are of no disc .* say, scan scan-00, L4-L5, and the run has scan scan-00, "
        "subject sub-00, C",
    ),
    "one class": (lambda r: r | {"bright": "1"}, {}, "one class only"),
    "few positives": (
        lambda r: r | {"bright": str(int(r["scan_id"] < "scan-03"))},
        {},
        "bright has 12 positive labels .* at least 20 are needed",
    ),
    "unknown codes": (
        lambda r: r | {"bright": "3"},
        {},
        r"48 labels with unknown codes \(3\); known are 0, 1",
    ),
    "a word": (lambda r: r | {"bright": "maybe"}, {}, "unknown code 'maybe'"),
    "a name that is there": (
        lambda r: r,
        {"finding": "herniation", "column": "bright"},
        "have a column 'herniation'",
    ),
    "a name of another's": (lambda r: r, {"finding": "pfirrmann_p1", "column": "bright"}, "have a column"),
    "no name": (lambda r: r, {"finding": "Disc bulging", "column": "bright"}, "cannot be a column"),
    "no column": (
        lambda r: r,
        {"finding": "bulging"},
        "no column 'bulging'; its columns are scan_id, disc, bright",
    ),
    "no place": (lambda r: {k: v for k, v in r.items() if k != "disc"}, {}, "no column 'disc'"),
    "nobody": (
        lambda r: {k: v for k, v in r.items() if k != "scan_id"},
        {},
        "no column scan_id or subject_id",
    ),
    "contradiction": (lambda r: r | {"disc": "C5-C6"}, {}, "contradict each other"),
}


@pytest.mark.parametrize("what", GUARDS)
def test_guards(run: TuningRun, labels: Path, tmp_path: Path, pool: Executor, what: str) -> None:
    change, more, sentence = GUARDS[what]
    file = changed(labels, tmp_path / "labels.csv", change)
    with pytest.raises(LabelsError, match=sentence):
        finetune(request_of(run, file, **more), pool)


def test_more_guards(run: TuningRun, labels: Path, tmp_path: Path, pool: Executor) -> None:
    with pytest.raises(LabelsError, match="there is no file"):
        finetune(request_of(run, tmp_path / "absent.csv"), pool)
    with pytest.raises(RunError, match="no finished run"):
        finetune(request_of(run, labels, out=str(tmp_path / "nothing")), pool)
    with pytest.raises(WeightsError, match="is the bundle that is added to"):
        finetune(request_of(run, labels, bundle=str(run.bundle)), pool)
    new = finetune(request_of(run, labels, bundle=str(tmp_path / "new"), steps=1), pool)
    with pytest.raises(WeightsError, match="has a finding 'bright' already"):
        finetune(request_of(run, labels, weights=str(new.bundle)), pool)


def test_killed_half_way_and_gone_on_with(
    run: TuningRun, labels: Path, tmp_path: Path, pool: Executor
) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    cache = tmp_path / "cache"
    undisturbed = finetune(request_of(run, labels, bundle=str(whole), cache=str(tmp_path / "other")), pool)
    asked = request_of(run, labels, bundle=str(stopped), cache=str(cache))
    line = [sys.executable, "-m", "support.toy_tuning", "0.02"]
    with subprocess.Popen(line, stdin=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stdin is not None
        process.stdin.write(asked.model_dump_json())
        process.stdin.close()
        deadline = time.monotonic() + 120
        while not list(cache.glob("training/*/head.pt")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
    assert not stopped.exists()
    done: FinetuneSummary = finetune(asked, pool)
    assert done.count.cut == 0
    assert state_of(stopped) == state_of(whole)
    assert done.figures == undisturbed.figures
    assert load_networks(resolve(stopped)).findings == (done.finding,)


def test_the_command(
    run: TuningRun, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["finetune", str(run.out), str(labels), "--finding", "bright", "--copies", "1", "--steps", "25"]
    words += ["--codes", "0=absent,1=present", "--processes", "1", "--cache", str(tmp_path / "cache")]
    assert exit_status([*words, "--bundle", str(tmp_path / "new")]) == DONE
    said = capsys.readouterr().out
    assert "48 labels of 12 subjects; 12 scans were cut, 0 were in the cache" in said
    assert f"spinenet run ... --weights {tmp_path / 'new'} --regrade" in said
    assert exit_status([*words[:4], "bul-ging"]) == USAGE
    assert "cannot be a column" in capsys.readouterr().err
    assert exit_status([*words, "--scale", "some"]) == USAGE
    assert exit_status([*words, "--curve", "many"]) == USAGE
