"""The loop: killed and gone on with, by two ranks as by one, and what a checkpoint refuses."""

from __future__ import annotations

import csv
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest
import torch

from spinenet.errors import RecipeError, TrainingError, WeightsError
from spinenet.training import history
from spinenet.training.card import card
from spinenet.training.checkpoints import Checkpoint, checkpoint_file, load_checkpoint
from spinenet.training.loop import train
from spinenet.training.recipe import Recipe
from support.tiny_networks import TINY, tiny_bundle, tiny_networks
from support.toy_training import PICTURES, ToySource, environment, toy_recipe

SHORT = ("steps = 40", "steps = 4")


@pytest.fixture(autouse=True)
def _one_thread_and_no_pictures(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    if "pictures" not in request.fixturenames:
        for name in PICTURES:
            monkeypatch.setitem(sys.modules, name, None)


@pytest.fixture
def pictures() -> None:
    """What the extra ``training`` brings, which takes longer than a training of this file."""
    pytest.importorskip("matplotlib")
    pytest.importorskip("tensorboard")


def trained(recipe: Recipe, out: Path, minutes: float | None = None) -> Checkpoint:
    return train(recipe, [ToySource(), ToySource()], out, device="cpu", workers=0, minutes=minutes)


def begun(
    recipe: Recipe,
    out: Path,
    wait_s: float = 0.0,
    variables: Mapping[str, str] | None = None,
    workers: int = 0,
) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "support.toy_training", str(out), str(wait_s), str(workers)]
    process = subprocess.Popen(command, env=environment(**variables or {}), stdin=subprocess.PIPE, text=True)
    assert process.stdin is not None
    process.stdin.write(recipe.model_dump_json())
    process.stdin.close()
    return process


def assert_same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> None:
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)


def losses(out: Path) -> list[float]:
    with (out / "context.csv").open(encoding="utf-8") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_killed_and_gone_on_with_it_ends_with_the_same_weights(tmp_path: Path) -> None:
    recipe, file = toy_recipe(), checkpoint_file(tmp_path / "killed", "context")
    process = begun(recipe, file.parent, wait_s=0.05)
    while not file.exists():
        assert process.poll() is None
        time.sleep(0.02)
    # between two checkpoints
    time.sleep(0.15)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert 10 <= load_checkpoint(file).step < recipe.steps
    ended = trained(recipe, file.parent)
    straight = trained(recipe, tmp_path / "straight")
    assert ended.step == straight.step == 40
    assert_same(ended.network, straight.network)
    assert_same(load_checkpoint(file).network, straight.network)
    assert losses(file.parent) == losses(tmp_path / "straight")
    assert losses(file.parent)[-1] < losses(file.parent)[0]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_killed_it_leaves_no_process_behind(tmp_path: Path) -> None:
    recipe = toy_recipe(("steps = 40", "steps = 4000"))
    training = begun(recipe, tmp_path, wait_s=0.01, workers=2)
    while not checkpoint_file(tmp_path, "context").exists():
        assert training.poll() is None
        time.sleep(0.05)
    made = psutil.Process(training.pid).children(recursive=True)
    assert len(made) >= 3
    os.kill(training.pid, signal.SIGKILL)
    training.wait()
    _, left = psutil.wait_procs(made, timeout=60)
    for process in left:
        process.kill()
    assert not left


def test_two_ranks_have_the_losses_of_one(tmp_path: Path) -> None:
    recipe = toy_recipe(("steps = 40", "steps = 8"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    ranks = [
        begun(recipe, tmp_path / "two", variables={"RANK": str(k), "LOCAL_RANK": str(k), **shared})
        for k in range(2)
    ]
    trained(recipe, tmp_path / "one")
    try:
        assert [rank.wait(timeout=500) for rank in ranks] == [0, 0]
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)
    one, two = (load_checkpoint(checkpoint_file(tmp_path / name, "context")) for name in ("one", "two"))
    for key, value in one.network.items():
        if value.is_floating_point() and "running" not in key:
            torch.testing.assert_close(two.network[key], value, atol=1e-4, rtol=1e-3)
    assert two.hardware.startswith("2 processes")


def test_an_end_before_its_time_is_gone_on_from(tmp_path: Path) -> None:
    recipe = toy_recipe()
    part = trained(recipe, tmp_path, minutes=1e-6)
    assert part.step == 1
    assert_same(trained(recipe, tmp_path).network, trained(recipe, tmp_path / "straight").network)
    again = trained(recipe, tmp_path)
    assert (again.step, len(again.history)) == (40, 40)


@pytest.mark.usefixtures("pictures")
def test_what_is_written_beside_a_checkpoint(tmp_path: Path) -> None:
    ended = trained(toy_recipe(SHORT, ("every = 20", "every = 2")), tmp_path)
    assert (tmp_path / "context.png").read_bytes().startswith(b"\x89PNG")
    assert len(list((tmp_path / "events" / "context").glob("events.*"))) == 1
    rows = (tmp_path / "context.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0].startswith("step,loss,rate,samples_per_s,toy1/loss,toy1/accuracy,toy2/loss")
    assert [row.partition(",")[0] for row in rows[1:]] == ["1", "2", "3", "4"]
    assert [len(row) for row in ended.history] == [4, 8, 4, 8]
    text = card("A toy", [ended], {"all": {"recall": 1}})
    said = ("# A toy", "steps: 4 of 4", "| toy | ", "75 %", "toy1/accuracy", ended.hardware, '"recall": 1')
    assert [part for part in said if part not in text] == []


def test_without_the_extra_one_line_says_what_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger=history.__name__):
        trained(toy_recipe(SHORT), tmp_path)
    told = [record.message for record in caplog.records if "left out" in record.message]
    assert told == [
        "left out as not installed: curves (matplotlib) and events (tensorboard);"
        " pip install 'spinenet-cohort[training]'"
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["context.csv", "context.pt"]


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    trained(toy_recipe(SHORT), tmp_path)
    with pytest.raises(TrainingError, match=r"of another recipe, which differs in warm_up:"):
        trained(toy_recipe(SHORT, ("warm_up = 3", "warm_up = 4")), tmp_path)
    other = [ToySource(digest="other"), ToySource()]
    with pytest.raises(TrainingError, match="differs in the sources' data"):
        train(toy_recipe(SHORT), other, tmp_path, device="cpu", workers=0)
    file = checkpoint_file(tmp_path, "context")
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(TrainingError, match="is not a readable checkpoint"):
        trained(toy_recipe(SHORT), tmp_path)
    torch.save({"net": {}}, file)
    with pytest.raises(TrainingError, match="is no checkpoint that this spinenet reads"):
        trained(toy_recipe(SHORT), tmp_path)


def test_a_bundle_is_gone_on_from(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    start = ("warm_up = 3", f'warm_up = 3\nstart = "{bundle}"')
    width = ("width = 2", f"width = {TINY['context']['width']}")
    slow = ("learning_rate = 1e-3", "learning_rate = 1e-12")
    ended = trained(toy_recipe(SHORT, start, width, slow), tmp_path / "out")
    for key, value in tiny_networks().context.named_parameters():
        torch.testing.assert_close(ended.network[key], value.detach())
    with pytest.raises(WeightsError, match="The context of tiny does not fit"):
        trained(toy_recipe(SHORT, start), tmp_path / "other")


def test_a_loss_that_is_no_number_ends_it(tmp_path: Path) -> None:
    wild = toy_recipe(SHORT, ("learning_rate = 1e-3", "learning_rate = 1e30"), ("warm_up = 3", "warm_up = 0"))
    with pytest.raises(TrainingError, match="no longer a number at step"):
        trained(wild, tmp_path)


@pytest.mark.parametrize(("device", "told"), [("tpu9", "no device 'tpu9'"), ("meta", "runs on cpu or cuda")])
def test_devices_that_cannot_train(tmp_path: Path, device: str, told: str) -> None:
    with pytest.raises(TrainingError, match=told):
        train(toy_recipe(), [ToySource(), ToySource()], tmp_path, device=device)


def test_an_architecture_that_cannot_be_built(tmp_path: Path) -> None:
    with pytest.raises((WeightsError, RecipeError), match="architecture of context cannot be built"):
        trained(toy_recipe(("width = 2", "widths = 2")), tmp_path)
