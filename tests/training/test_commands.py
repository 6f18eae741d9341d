"""The commands that make and score a bundle, from training to figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from flows.cli.app import exit_status
from flows.cli.terminal import DONE, UNFINISHED, USAGE
from spinenet.training.checkpoints import checkpoint_file, load_checkpoint
from spinenet.training.packing import CARD_FILE
from spinenet.weights.bundle import verified_bundle
from spinenet.weights.description import PARTS
from spinenet.weights.domain import named_domain
from spinenet.weights.networks import load_networks
from support.tiny_networks import TINY, tiny_bundle
from support.toy_training import environment

RECIPE = """
network = "{network}"
steps = 3
batch = 4
micro_batches = 2
learning_rate = 1e-3
log_every = 1
data = "Drawn spines."
[architecture]
{architecture}
[stream]
lanes = 2
chunk = 2
repeats = 2
[[sources]]
kind = "drawn"
[check]
every = 3
samples = 2
"""


def recipe_file(folder: Path, network: str) -> str:
    architecture = "\n".join(f"{name} = {value}" for name, value in TINY[network].items())
    file = folder / f"{network}.toml"
    file.write_text(RECIPE.format(network=network, architecture=architecture), encoding="utf-8")
    return str(file)


def command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "flows.cli", "train", *map(str, words)]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=500, env=environment())


def test_train_and_pack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe, out, bundle = recipe_file(tmp_path, "context"), tmp_path / "out", tmp_path / "bundle"
    words = ["train", "context", "--recipe", recipe, "--out", str(out), "--device", "cpu", "--workers", "0"]
    assert exit_status(words) == DONE
    assert capsys.readouterr().out.startswith("The context is trained: 3 of 3 steps, loss ")
    assert "# The context, trained in out" in (out / "context.md").read_text(encoding="utf-8")
    assert exit_status([*words, "--steps", "5"]) == UNFINISHED
    assert "another recipe, which differs in steps" in capsys.readouterr().err

    assert exit_status(["train", "pack", str(out), str(bundle)]) == UNFINISHED
    assert "no checkpoint of detector, appearance, grading" in capsys.readouterr().err
    rest = tiny_bundle(tmp_path / "tiny")
    pack = ["train", "pack", str(out), str(bundle), "--rest", str(rest)]
    assert exit_status([*pack, "--domain", "nowhere"]) == USAGE
    assert "The domain nowhere cannot be read" in capsys.readouterr().err
    assert exit_status([*pack, "--domain", "synthetic"]) == DONE
    packed = verified_bundle(bundle)
    assert packed.name == "bundle"
    assert packed.domain == named_domain("synthetic")
    assert packed.description["training_data"] == "Drawn spines. none"
    assert packed.description["architecture"] == TINY
    assert "## context" in (bundle / "card.md").read_text(encoding="utf-8")


def test_a_network_is_averaged_with_another_bundles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, out, bundle = tiny_bundle(tmp_path / "tiny"), tmp_path / "out", tmp_path / "bundle"
    (before / CARD_FILE).write_text("# tiny\n\n## grading\n\n- steps: many\n\n## context\n\n- steps: few\n")
    words = ["train", "context", "--recipe", recipe_file(tmp_path, "context"), "--out", str(out)]
    assert exit_status([*words, "--device", "cpu", "--workers", "0"]) == DONE
    pack = ["train", "pack", str(out), str(bundle), "--rest", str(before), "--average"]
    refused = {
        f"context=1@{before}": "is 1, not at least 0 and below 1",
        f"grading=0.5@{before}": "no checkpoint of grading to be averaged",
        "context=0.5": "NETWORK=SHARE@BUNDLE",
        f"context=half@{before}": "NETWORK=SHARE@BUNDLE",
        "context=0.5@synthetic": "The context of synthetic",
    }
    for wrong, told in refused.items():
        assert exit_status([*pack, wrong]) != DONE
        assert told in capsys.readouterr().err
    assert exit_status([*pack, f"context=0.25@{before}"]) == DONE
    other, mixed = (load_networks(verified_bundle(one)).context.state_dict() for one in (before, bundle))
    trained = load_checkpoint(checkpoint_file(out, "context")).network
    floating = [name for name, weight in trained.items() if weight.is_floating_point()]
    assert any(not torch.equal(trained[name], other[name]) for name in floating)
    for name in floating:
        assert torch.allclose(mixed[name], 0.75 * trained[name] + 0.25 * other[name], atol=1e-6)
    card = (bundle / CARD_FILE).read_text(encoding="utf-8")
    assert f"- weights: 75% of the trained ones and 25% of those of {before}" in card
    assert "## grading\n\n- steps: many" in card
    assert "steps: few" not in card


def test_a_recipe_of_another_network_is_bad_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = recipe_file(tmp_path, "context")
    assert exit_status(["train", "detector", "--recipe", recipe, "--out", str(tmp_path)]) == USAGE
    assert "is for the context, not for the detector" in capsys.readouterr().err


@pytest.mark.slow
def test_all_networks_with_workers_then_pack_and_score(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for part in PARTS:
        recipe = recipe_file(tmp_path, part)
        trained = command(part, "--recipe", recipe, "--out", out, "--device", "cpu", "--workers", "2")
        assert trained.returncode == 0, trained.stderr
        assert f"The {part} is trained" in trained.stdout
        scores = load_checkpoint(checkpoint_file(out, part)).history[-1]
        assert {"drawn/loss", "loss"} <= scores.keys()
    packed = command("pack", out, tmp_path / "bundle", "--name", "synthetic")
    assert packed.returncode == 0, packed.stderr
    assert verified_bundle(tmp_path / "bundle").name == "synthetic"
    scored = command("score", tmp_path / "bundle", "--share", "0.01", "--processes", "1")
    assert scored.returncode == 0, scored.stderr
    figures = json.loads(scored.stdout)
    assert figures["all"]["scans"] == 4
    assert len(figures["lumbar T2"]["balanced_accuracy"]) == 11


@pytest.mark.slow
def test_started_by_torchrun(tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, "context")
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    line += ["-m", "flows.cli", "train", "context", "--recipe", recipe, "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [*line, "--device", "cpu"], capture_output=True, text=True, check=False, env=environment()
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("The context is trained: 3 of 3 steps") == 1
    assert load_checkpoint(checkpoint_file(tmp_path / "out", "context")).hardware.startswith("2 processes")
