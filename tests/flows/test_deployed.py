"""The flows as Prefect runs them: served and asked for by its API, from another flow, and in a notebook."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flows.clusters.address import cluster_address
from flows.clusters.certificates import write_certificates
from spinenet.cohort.results import read_results
from spinenet.training.checkpoints import load_checkpoint
from support.cohorts import assert_same_tables, command, small_scan, write
from support.prefect_home import home
from support.served import Served, served, until

COHORT, INDEX, TRAINING = "spinenet-cohort", "spinenet-index", "spinenet-training"

RECIPE = """
network = "context"
steps = 2
batch = 2
learning_rate = 1e-3
architecture = { width = 2 }
stream = { lanes = 1, chunk = 1 }
sources = [{ kind = "drawn" }]
"""


@dataclass(frozen=True)
class Workers:
    """A cluster for all runs of this module, and the environment that lets others in."""

    address: str
    environment: Mapping[str, str]


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    with cluster_address("local") as cluster:
        assert cluster.security is not None
        environment = write_certificates(cluster.security, tmp_path_factory.mktemp("tls"))
        yield Workers(cluster.address, environment)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, workers: Workers) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("served"), **workers.environment) as page:
        yield page


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two drawn scans, and a manifest that names a third one, which is not there."""
    folder = tmp_path_factory.mktemp("scans")
    for seed in range(2):
        write(folder / f"s{seed}", small_scan(seed), f"s{seed}")
    (folder / "manifest.csv").write_text("scan_id,path\na,s0\nb,s1\nc,gone\n", encoding="utf-8")
    return folder


def asked(scans: Path, out: Path, workers: Workers, **more: Any) -> dict[str, Any]:
    """Parameters of a cohort's run."""
    return {
        "manifest": str(scans / "manifest.csv"),
        "out": str(out),
        "weights": "synthetic",
        "shard_size": 2,
        "cluster": workers.address,
        **more,
    }


def states(page: Served, run: Mapping[str, Any]) -> dict[str, str]:
    return {task["name"]: task["state_type"] for task in page.of_run(run, "task_runs")}


def artifacts(page: Served, run: Mapping[str, Any]) -> dict[str, Any]:
    """What the artifacts of a run hold, by the beginning of their keys."""
    return {a["key"].rpartition("-")[0]: a["data"] for a in page.of_run(run, "artifacts")}


def account(page: Served, run: Mapping[str, Any]) -> dict[str, int]:
    return {row["state"]: row["count"] for row in json.loads(artifacts(page, run)["account"])}


def lines(page: Served, run: Mapping[str, Any]) -> list[str]:
    return [log["message"] for log in page.of_run(run, "logs") if log["name"] == "spinenet"]


@pytest.mark.parametrize("name", [COHORT, INDEX, TRAINING])
def test_the_form_says_what_each_parameter_is(page: Served, name: str) -> None:
    schema = page.deployment(name)["parameter_openapi_schema"]
    assert schema["required"] == ["request"]
    assert schema["properties"]["request"]["description"]
    (model,) = (model for model in schema["definitions"].values() if "out" in model["properties"])
    assert all(len(told["description"]) > 10 for told in model["properties"].values())
    assert "out" in model["required"]


def test_a_cohort_asked_for_by_the_page(page: Served, scans: Path, workers: Workers, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = page.ended(page.run(COHORT, **asked(scans, out, workers)))
    assert run["state_type"] == "COMPLETED", run["state"]
    assert run["name"] == "manifest.csv to out, 2 of 2 shards of 3 scans"
    assert set(run["tags"]) == {"spinenet", "synthetic"}
    assert states(page, run) == {"shard-00000": "COMPLETED", "shard-00001": "COMPLETED"}
    told = artifacts(page, run)
    assert told["progress"] == told["shard-00000"] == told["shard-00001"] == 100
    assert str(out) in told["tables"]
    assert account(page, run) == {"done": 2, "excluded": 0, "path_missing": 1}
    # the server takes in the logs by and by
    until(lambda: "writing the tables" in lines(page, run), 30)
    said = lines(page, run)
    assert "3 scans in 2 shards, 0 done before" in said
    assert any(re.match(r"shard 0 committed in .* s: 2 done", line) for line in said)
    assert any(line.startswith("shard-00001: 1 path_missing") for line in said)
    assert read_results(str(out)).scans["status"].tolist() == ["done", "done", "failed"]


def test_an_index_asked_for_by_the_page(page: Served, scans: Path, workers: Workers, tmp_path: Path) -> None:
    out = tmp_path / "series.csv"
    run = page.ended(page.run(INDEX, root=str(scans), out=str(out), cluster=workers.address))
    assert run["state_type"] == "COMPLETED", run["state"]
    assert run["name"] == f"index of {scans.name}"
    assert set(run["tags"]) == {"spinenet", "index", "nightly"}
    assert states(page, run) == {"headers": "COMPLETED", "scattered-series": "COMPLETED"}
    assert artifacts(page, run)["progress"] == 100
    assert account(page, run) == {"grading": 2}
    assert "headers: 7 files, 2 series" in lines(page, run)
    assert len(pd.read_csv(out)) == 2


def test_a_training_asked_for_by_the_page(page: Served, tmp_path: Path) -> None:
    recipe, out = tmp_path / "mine.toml", tmp_path / "out"
    recipe.write_text(RECIPE, encoding="utf-8")
    asked = {"network": "context", "recipe": str(recipe), "device": "cpu", "workers": 0}
    run = page.ended(page.run(TRAINING, out=str(out), **asked))
    assert run["state_type"] == "COMPLETED", run["state"]
    assert run["name"] == f"context in {out}"
    assert account(page, run) == {"done": 2, "left": 0}
    assert load_checkpoint(out / "context.pt").step == 2
    assert "# The context, trained in out" in (out / "context.md").read_text(encoding="utf-8")
    answer = page.ask(TRAINING, network="contexts", out=str(out))
    assert answer.status_code == 409, answer.text


def test_a_wrong_parameter_is_refused(page: Served) -> None:
    for wrong, why in (({"root": "r"}, "'out' is a required"), ({"root": 7, "out": "m.csv"}, "7 is not")):
        answer = page.ask(INDEX, **wrong)
        assert answer.status_code == 409, answer.text
        assert why in answer.json()["detail"]


def test_a_run_that_cannot_be_fails_with_the_sentence(page: Served, tmp_path: Path) -> None:
    run = page.run(INDEX, root=str(tmp_path / "absent"), out=str(tmp_path / "m.csv"))
    ended = page.ended(run)
    assert ended["state_type"] == "FAILED"
    assert "there is nothing at" in ended["state"]["message"]
    assert "name a folder, an archive or a file" in ended["state"]["message"]


@pytest.mark.slow
def test_a_run_with_nothing_left_to_do_has_an_account(
    page: Served, scans: Path, workers: Workers, tmp_path: Path
) -> None:
    first, again = (page.ended(page.run(COHORT, **asked(scans, tmp_path / "out", workers))) for _ in "12")
    assert first["state_type"] == again["state_type"] == "COMPLETED"
    assert states(page, again) == {}
    assert account(page, again) == account(page, first)


@pytest.mark.slow
def test_a_run_that_is_cancelled_ends_in_order(
    page: Served, scans: Path, workers: Workers, tmp_path: Path
) -> None:
    paths = ["s0", "s1"] * 100
    rows = [f"{number},{scans / path}" for number, path in enumerate(paths)]
    manifest, out = tmp_path / "long.csv", tmp_path / "out"
    manifest.write_text("\n".join(["scan_id,path", *rows]), encoding="utf-8")
    run = page.run(COHORT, **asked(scans, out, workers, manifest=str(manifest)))
    commits = out / "_run" / "commits"
    until(lambda: commits.is_dir() and any(commits.iterdir()), 100)
    wish = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    page.answer("POST", f"flow_runs/{run['id']}/set_state", json=wish).raise_for_status()
    ended = page.ended(run)
    assert ended["state_type"] == "CANCELLED", ended["state"]
    assert 0 < len(list(commits.iterdir())) < 100
    # in order: nothing is half written, and no scan failed by it
    records = [json.loads(record.read_text(encoding="utf-8")) for record in commits.iterdir()]
    assert all(record["states"] == {"done": 2} for record in records)
    assert "COMPLETED" in states(page, run).values()


CALLED = """
import asyncio, sys
from prefect import flow
from flows.index import index
from spinenet.index.request import IndexRequest

def call(out):
    return index(IndexRequest(root=sys.argv[1], out=sys.argv[2] + out, cluster=sys.argv[3])).n_series

async def cell():
    return call("/notebook.csv")

@flow(name="mine", flow_run_name="mine")
def mine():
    return call("/mine.csv")

print(mine(), asyncio.run(cell()))
"""
"""A flow of the user's own that calls this one, and a cell of a notebook, in which a loop runs."""


def test_another_flow_and_a_notebook_call_it(
    page: Served, scans: Path, workers: Workers, tmp_path: Path
) -> None:
    given = [str(scans), str(tmp_path), workers.address]
    words = [sys.executable, "-W", "error::RuntimeWarning", "-c", CALLED, *given]
    variables = {**os.environ, **workers.environment, "PREFECT_API_URL": page.url}
    done = subprocess.run(words, env=variables, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["2", "2"]
    (outer,) = page.found("flow_runs", flow_runs={"name": {"any_": ["mine"]}})
    (call,) = page.of_run(outer, "task_runs")
    inner = page.get(f"flow_runs/{call['state']['state_details']['child_flow_run_id']}")
    for run in (outer, inner):
        assert run["state_type"] == "COMPLETED"
    assert inner["name"] == f"index of {scans.name}"
    assert states(page, page.ended(inner)).keys() == {"headers", "scattered-series"}


def timeless(log: str) -> list[str]:
    """Lines of a log without times, and in no order: shards are done beside each other."""
    lines = [re.sub(r"^\d\S+ \S+ ", "", line) for line in log.splitlines()]
    without = [re.sub(r"\d+\.\d+|\d of 3 scans", "#", re.sub(", about .*", "", line)) for line in lines]
    return sorted(line for line in without if "telling Prefect" not in line)


def test_the_command_is_the_same_on_a_server_on_its_own_and_on_none(
    page: Served, scans: Path, workers: Workers, tmp_path: Path
) -> None:
    variables = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    variables |= {**workers.environment, "PREFECT_HOME": str(home(tmp_path / "prefect"))}
    ways: Mapping[str, tuple[dict[str, str], tuple[str, ...]]] = {
        "none": ({}, ("--no-prefect",)),
        "own": ({}, ()),
        "configured": ({"PREFECT_API_URL": page.url}, ()),
    }
    options = ("--weights", "synthetic", "--shard-size", "2", "--cluster", workers.address)
    ended = {}
    for way, (more, switch) in ways.items():
        (tmp_path / way).mkdir()
        words = command("run", scans / "manifest.csv", "out", *options, *switch)
        done = subprocess.run(
            words, cwd=tmp_path / way, env=variables | more, capture_output=True, text=True, timeout=200,
            check=False,
        )  # fmt: skip
        told = done.stdout.replace(str(tmp_path / way), ".")
        ended[way] = done.returncode, told, timeless(done.stderr)
        assert_same_tables(tmp_path / "none" / "out", tmp_path / way / "out")
    assert ended["none"] == ended["own"] == ended["configured"]
    status, out, log = ended["none"]
    assert status == 3
    assert "1 path_missing" in out
    assert "INFO 3 scans in 2 shards, 0 done before" in log
    name = "manifest.csv to out, 2 of 2 shards of 3 scans"
    named = page.found("flow_runs", flow_runs={"name": {"any_": [name]}})
    (run,) = [run for run in named if run["deployment_id"] is None]
    assert page.ended(run)["state_type"] == "COMPLETED"
    assert run["parameters"]["request"]["shard_size"] == 2
    assert states(page, run) == {"shard-00000": "COMPLETED", "shard-00001": "COMPLETED"}
    assert account(page, run) == {"done": 2, "excluded": 0, "path_missing": 1}
    assert (tmp_path / "prefect" / "prefect.db").is_file(), "the history of its own server stays"
