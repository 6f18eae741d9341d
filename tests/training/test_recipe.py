"""Recipes: those of the package, what is refused and in which words, and what a checkpoint depends on."""

from __future__ import annotations

from pathlib import Path

import pytest

from spinenet.errors import RecipeError
from spinenet.networks.parts import build
from spinenet.training.recipe import (
    Recipe,
    other_fields,
    packaged_names,
    packaged_recipe,
    read_recipe,
    with_data,
)
from spinenet.training.request import TrainingRequest, recipe_of
from spinenet.training.sources import open_sources, source_names
from spinenet.weights import resolve
from spinenet.weights.description import PARTS
from spinenet.weights.names import SYNTHETIC
from support.toy_training import RECIPE, toy_recipe


@pytest.mark.parametrize("part", PARTS)
def test_recipes_of_the_package_are_those_of_its_bundle(part: str) -> None:
    recipe = recipe_of(TrainingRequest(network=part, out="x"))  # type: ignore[arg-type]
    assert recipe.network == part
    assert recipe.architecture == resolve(SYNTHETIC).description["architecture"][part]
    build(part, {part: recipe.architecture})
    assert len(open_sources(recipe)) == 1


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("share = 3", "share = 0", "sources.0.share: Input should be greater than 0"),
        ("steps = 40", "stepps = 60", "steps: Field required (1 more)"),
        ("warm_up = 3", "warmup = 3", "warmup: unknown field"),
        ('network = "context"', 'network = "kontext"', "network: Input should be 'detector', 'appearance'"),
        ("batch = 4\n", "batch = 5\n", "batch (5) is no multiple of micro_batches (2)"),
        ("lanes = 4", "lanes = 3", "stream.lanes (3) is no multiple of micro_batches (2)"),
        ("steps = 40", "steps = ", "is not valid TOML"),
        (
            "[stream]",
            '[augmentation]\nnoise = "much"\n[stream]',
            "augmentation.noise: Input should be",
        ),
        ("[stream]", "[augmentation]\ncontrasts = 0.5\n[stream]", "augmentation.contrasts: unknown field"),
        ("[stream]", "[augmentation]\ntissues = 2\n[stream]", "augmentation.tissues: Input should be less"),
    ],
)
def test_a_wrong_recipe_is_told_in_one_sentence(tmp_path: Path, old: str, new: str, told: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(RECIPE.replace(old, new), encoding="utf-8")
    with pytest.raises(RecipeError) as error:
        read_recipe(file)
    assert str(error.value).startswith(str(file))
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_recipe_of_another_network_or_none(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(RECIPE, encoding="utf-8")
    with pytest.raises(RecipeError, match="is for the context, not for the grading"):
        recipe_of(TrainingRequest(network="grading", out="x", recipe=str(file)))
    with pytest.raises(RecipeError, match="cannot be read"):
        recipe_of(TrainingRequest(network="grading", out="x", recipe=str(tmp_path / "none.toml")))
    assert recipe_of(TrainingRequest(network="context", out="x", recipe=str(file), steps=3)).steps == 3


def test_sources_that_are_not_known_or_not_usable() -> None:
    with pytest.raises(RecipeError, match=r"sources\.0\.kind: there is no kind 'toy' of source, but drawn"):
        open_sources(toy_recipe())
    drawn = ('kind = "toy"', 'kind = "drawn"')
    with pytest.raises(RecipeError, match="takes no path"):
        open_sources(toy_recipe(drawn, ("share = 3", 'path = "x"')))
    assert source_names(toy_recipe()) == ("toy1", "toy2")
    assert source_names(packaged_recipe("context")) == ("drawn",)


def test_the_rate_rises_stays_and_falls() -> None:
    recipe = packaged_recipe("detector").model_copy(update={"steps": 1000, "learning_rate": 1.0})
    assert recipe.rate(0) == pytest.approx(0.01)
    assert recipe.rate(99) == recipe.rate(370) == 1
    assert recipe.rate(1000 - 125) == pytest.approx(0.2)
    assert recipe.rate(999) == pytest.approx(0.01)


def test_a_fingerprint_is_of_what_weights_depend_on() -> None:
    recipe = toy_recipe()
    same = [("log_every = 1", "log_every = 2"), ("share = 3", 'share = 3\npath = "elsewhere"')]
    assert toy_recipe(*same).fingerprint(["a"]) == recipe.fingerprint(["a"])
    other = toy_recipe(("warm_up = 3", "warm_up = 4"), ("share = 3", "share = 2"))
    assert other.fingerprint(["a"]) != recipe.fingerprint(["a"]) != recipe.fingerprint(["b"])
    assert other_fields(recipe.plain(), other.plain()) == ["warm_up", "sources.0.share"]


def test_a_recipe_keeps_of_its_augmentation_what_it_states() -> None:
    recipe = toy_recipe(("[stream]", "[augmentation]\ngain = 0.0\npose = true\n[stream]"))
    assert recipe.plain()["augmentation"] == {"gain": 0.0, "pose": True}
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_recipes_of_the_package_are_whole_and_by_name() -> None:
    for name in packaged_names():
        assert packaged_recipe(name).sources
    with pytest.raises(RecipeError, match="no recipe 'detectors', but appearance"):
        packaged_recipe("detectors")


def test_relative_paths_of_sources_start_where_the_data_lie(tmp_path: Path) -> None:
    recipe = packaged_recipe("open_detector")
    moved = with_data(recipe, tmp_path)
    assert [entry.path for entry in moved.sources] == [
        None if entry.path is None else str(tmp_path / entry.path) for entry in recipe.sources
    ]
    assert moved.fingerprint() == recipe.fingerprint()
    assert with_data(moved, Path("/elsewhere")) == moved
