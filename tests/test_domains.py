"""What bundles say they are for: checked on loading, listed, and written by training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli.weights import weights_app
from spinenet import weights
from spinenet.anatomy import FINDINGS
from spinenet.errors import WeightsError
from spinenet.weights.description import parse_description
from spinenet.weights.domain import named_domain, parse_domain, validation_sentence
from spinenet.weights.names import PACKAGED
from spinenet.weights.published import import_published
from spinenet.weights.release import PUBLISHED_DOMAIN
from support.tiny_networks import tiny_bundle, tiny_checkpoints, tiny_release

STATED: dict[str, Any] = {
    "purpose": "To be\n tested.",
    "sequences": ["T2"],
    "regions": ["lumbar"],
    "works": "Here.",
    "fails": "There.",
    "validated": ["pfirrmann"],
}


def test_a_domain_is_read_and_written() -> None:
    domain = parse_domain(STATED, "here")
    assert domain.purpose == "To be tested."
    assert parse_domain(json.loads(json.dumps(domain.plain())), "here") == domain
    assert domain.not_validated == tuple(finding.name for finding in FINDINGS[1:])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sequences": ["T3"]}, "names 'T3' of the sequences, which are T1, T2, STIR"),
        ({"regions": []}, "names none of the regions"),
        ({"regions": "lumbar"}, "has no list of names as regions"),
        ({"purpose": " "}, "has no sentence as purpose"),
        ({"purposes": "x"}, "has an unknown purposes"),
    ],
)
def test_what_is_no_domain_is_refused_when_a_bundle_is_read(change: dict[str, Any], said: str) -> None:
    with pytest.raises(WeightsError, match=said):
        parse_domain(STATED | change, "here")
    text = (weights.folder_of("synthetic") / "bundle.json").read_text(encoding="utf-8")
    wrong = json.loads(text) | {"domain": STATED | change}
    with pytest.raises(WeightsError, match=said):
        parse_description(json.dumps(wrong), "here")


def test_a_domain_that_lacks_something_or_is_none() -> None:
    with pytest.raises(WeightsError, match="lacks works"):
        parse_domain({key: value for key, value in STATED.items() if key != "works"}, "here")
    with pytest.raises(WeightsError, match="no table of entries"):
        parse_domain("lumbar", "here")
    with pytest.raises(WeightsError, match="The domain none cannot be read"):
        named_domain("none")


def test_a_file_may_state_it(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("purpose = ", encoding="utf-8")
    with pytest.raises(WeightsError, match=r"mine\.toml is not valid TOML"):
        named_domain(str(file))


@pytest.mark.parametrize("name", PACKAGED)
def test_bundles_of_the_package_state_theirs(name: str) -> None:
    assert weights.resolve(name).domain == named_domain(name), f"pack it with --domain {name}"


def test_the_published_weights_state_theirs_as_they_are_converted(tmp_path: Path) -> None:
    release = tiny_release("https://example.org")
    made = import_published(tiny_checkpoints(tmp_path / "pt"), tmp_path / "bundle", release)
    assert made.domain is None
    assert parse_domain(PUBLISHED_DOMAIN.plain(), "here") == PUBLISHED_DOMAIN


def test_the_list_says_what_each_is_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINENET_HOME", str(tmp_path))
    tiny_bundle(tmp_path / "urls" / "0123")
    # a terminal's width decides where its lines are broken
    listed = " ".join(CliRunner().invoke(weights_app, ["list"]).output.split())
    assert "T1, T2; lumbar" in listed
    assert "not stated" in listed
    assert f"synthetic: {named_domain('synthetic').purpose}" in listed
    assert "No finding of these weights was validated on real scans." in listed
    told = json.loads(CliRunner().invoke(weights_app, ["list", "--json"]).output)
    by_name = {one["name"]: one for one in told}
    assert list(by_name) == ["spinenet-v2", "open", "synthetic", "tiny"]
    assert by_name["spinenet-v2"]["folder"] is None
    assert by_name["spinenet-v2"]["domain"] == PUBLISHED_DOMAIN.plain()
    assert by_name["spinenet-v2"]["not_validated"] == []
    assert 1e6 < by_name["open"]["size_bytes"] < 40e6
    assert "herniation" in by_name["open"]["not_validated"]
    assert (by_name["tiny"]["domain"], by_name["tiny"]["not_validated"]) == (None, None)


def test_what_is_said_of_findings() -> None:
    assert validation_sentence(None) == validation_sentence(()) == ""
    assert validation_sentence(["herniation"]).endswith("with these weights: herniation.")
