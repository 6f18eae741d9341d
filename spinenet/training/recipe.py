"""A recipe: all that the training of one network depends on, as plain values that a TOML file says."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_serializer, model_validator

from spinenet.errors import RecipeError

Network = Literal["detector", "appearance", "context", "grading"]
"""Names of the four networks of a bundle."""

_SPARED = {"data", "licence", "log_every", "check"}
"""Fields on which no weight depends: a training may go on after they were changed."""


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SourceEntry(_Plain):
    """One source of samples of a recipe's mix."""

    kind: str = Field(min_length=1, description="Kind of source, a key of spinenet.training.sources.KINDS.")
    path: str | None = Field(default=None, description="Folder or URL of its data, where it has any.")
    share: float = Field(default=1.0, gt=0, description="Its part of the samples, relative to the others'.")
    options: dict[str, Any] = Field(default_factory=dict, description="What its kind knows besides.")


class Check(_Plain):
    """How often, and on how many samples that are never trained on, the network is scored."""

    every: int = Field(default=500, ge=1, description="Steps between scores.")
    samples: int = Field(default=64, ge=1, description="Held-out samples of each source.")


class StreamOptions(_Plain):
    """How samples become micro-batches; see :mod:`spinenet.training.stream`."""

    lanes: int = Field(default=4, ge=1, description="Independent sequences that micro-batches come from.")
    chunk: int = Field(default=16, ge=1, description="Micro-batches that a lane makes of one set of samples.")
    repeats: float = Field(default=1.0, ge=1, description="How often each sample is given on average.")


class LossOptions(_Plain):
    """Weights within the loss; each network reads its own and no other."""

    responses: float = Field(default=10.0, ge=0, description="Detector: weight of responses beside arrows.")
    response_weight: float = Field(
        default=30.0, ge=0, description="Detector: extra weight of a pixel of full response."
    )
    arrow_unit: float = Field(default=10.0, gt=0, description="Detector: patch pixels that count as 1.")
    balance: float = Field(
        default=0.0, ge=0, le=1, description="Grading: classes weigh by their frequency to minus this power."
    )
    balance_limit: float = Field(
        default=10.0, ge=1, description="Grading: a class weighs at the most this many times the commonest."
    )


class Augmentation(_Plain):
    """How much samples are varied; each source reads what it can do, and no source another strength."""

    contrast: float = Field(
        default=0.0, ge=0, le=1, description="Share of images or scans that get another look."
    )
    pose: bool = Field(default=False, description="Real scans: slices are turned, scaled and cropped.")
    gain: float = Field(default=0.0, ge=0, le=1, description="Spread of an image's brightness each time.")
    noise: float = Field(default=0.0, ge=0, le=1, description="Noise that is added each time.")
    tissues: float = Field(
        default=0.0, ge=0, le=1, description="Drawn spines: share of subjects with tissues of any signal."
    )


class Recipe(_Plain):
    """What trains one network. Read by :func:`read_recipe`."""

    network: Network
    architecture: dict[str, Any] = Field(description="Keyword arguments of the network's class.")
    start: str | None = Field(default=None, description="Bundle to go on from: a name, a folder or a URL.")
    seed: int = Field(default=0, ge=0)
    steps: int = Field(ge=1, description="Steps of the optimiser.")
    batch: int = Field(ge=1, description="Samples of a step.")
    micro_batches: int = Field(default=1, ge=1, description="Parts of a step, each normalised by itself.")
    learning_rate: float = Field(gt=0)
    warm_up: int = Field(default=100, ge=0, description="Steps in which the rate rises to its full height.")
    decay: float = Field(default=0.625, ge=0, le=1, description="Last share of the steps: the rate falls.")
    floor: float = Field(default=0.01, ge=0, le=1, description="What is left of the rate at the end.")
    weight_decay: float = Field(default=1e-3, ge=0)
    clip: float = Field(default=5.0, gt=0, description="Largest norm of a step's gradient.")
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32", description="Of the forward pass on a GPU; a CPU computes in float32."
    )
    checkpoint_every: int = Field(default=500, ge=1, description="Steps between checkpoints.")
    log_every: int = Field(default=50, ge=1, description="Steps that one row of the history averages.")
    stream: StreamOptions = StreamOptions()
    loss: LossOptions = LossOptions()
    augmentation: Augmentation = Augmentation()
    sources: tuple[SourceEntry, ...] = Field(min_length=1)
    check: Check | None = None
    data: str = Field(default="", description="A sentence on the training data, for the bundle.")
    licence: str = Field(default="", description="A sentence on the terms of the weights, for the bundle.")

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.batch % self.micro_batches:
            raise ValueError(f"batch ({self.batch}) is no multiple of micro_batches ({self.micro_batches})")
        if self.stream.lanes % self.micro_batches:
            raise ValueError(
                f"stream.lanes ({self.stream.lanes}) is no multiple of micro_batches ({self.micro_batches})"
            )
        return self

    @field_serializer("augmentation")
    def _as_stated(self, augmentation: Augmentation) -> dict[str, Any]:
        # What is not stated is left out, so that a strength that comes later changes no fingerprint.
        return augmentation.model_dump(exclude_unset=True)

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0: up within the warm-up, down at the end."""
        rising = min(1.0, (step + 1) / self.warm_up) if self.warm_up else 1.0
        left = 1 - step / self.steps
        falling = min(1.0, left / self.decay) if self.decay else 1.0
        return self.learning_rate * rising * max(self.floor, falling)

    def plain(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return self.model_dump(mode="json")

    def fingerprint(self, digests: Iterable[str] = ()) -> str:
        """SHA-256 (hex) of all that the weights depend on, with the digests of its sources' data.

        Where a source lies is no part of it: the same data may lie elsewhere on another machine.
        """
        kept = {key: value for key, value in self.plain().items() if key not in _SPARED}
        kept["sources"] = [{k: v for k, v in one.items() if k != "path"} for one in kept["sources"]]
        text = json.dumps([kept, list(digests)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def parse_recipe(text: str, where: str) -> Recipe:
    """The recipe that a TOML text says; ``where`` names it in errors.

    Raises
    ------
    RecipeError
        It is not TOML, or a field is missing, unknown or out of range: the sentence has the field's path.
    """
    try:
        return Recipe.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{where} is not valid TOML: {error}.") from error
    except ValidationError as error:
        raise RecipeError(sentence_of(error, where)) from error


def read_recipe(path: Path) -> Recipe:
    """The recipe of a TOML file.

    Raises
    ------
    RecipeError
        As :func:`parse_recipe`, or where the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"The recipe {path} cannot be read: {error}.") from error
    return parse_recipe(text, str(path))


def packaged_recipe(name: str) -> Recipe:
    """A recipe of the package: "detector", say, for the bundle ``synthetic``, "open_detector" for ``open``.

    Raises
    ------
    RecipeError
        There is none of this name.
    """
    file = files("spinenet") / "data" / "recipes" / f"{name}.toml"
    if not file.is_file():
        raise RecipeError(f"The package has no recipe {name!r}, but {', '.join(packaged_names())}.")
    return parse_recipe(file.read_text(encoding="utf-8"), f"{name}.toml")


def packaged_names() -> tuple[str, ...]:
    """Names of the package's recipes."""
    folder = files("spinenet") / "data" / "recipes"
    return tuple(sorted(file.name.removesuffix(".toml") for file in folder.iterdir()))


def with_data(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with the relative paths of its sources below a folder."""
    moved = tuple(
        entry if entry.path is None else entry.model_copy(update={"path": str(folder / entry.path)})
        for entry in recipe.sources
    )
    return recipe.model_copy(update={"sources": moved})


def other_fields(one: Mapping[str, Any], two: Mapping[str, Any]) -> list[str]:
    """Paths of the fields in which two recipes differ, as :meth:`Recipe.plain` gives them."""
    return [path for path in _differing(one, two, "") if path.partition(".")[0] not in _SPARED]


def _differing(one: object, two: object, path: str) -> Iterator[str]:
    if isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        one, two = ({str(i): value for i, value in enumerate(values)} for values in (one, two))
    if isinstance(one, Mapping) and isinstance(two, Mapping):
        for key in dict.fromkeys([*one, *two]):
            yield from _differing(one.get(key), two.get(key), f"{path}.{key}".lstrip("."))
    elif one != two:
        yield path


def sentence_of(error: ValidationError, where: str) -> str:
    """The first complaint with the path of its field, and how many more there are."""
    first, *more = error.errors(include_url=False)
    path = ".".join(map(str, first["loc"]))
    said = "unknown field" if first["type"] == "extra_forbidden" else str(first["msg"])
    said = said.removeprefix("Value error, ").rstrip(".")
    others = f" ({len(more)} more)" if more else ""
    return f"{where}: {f'{path}: ' if path else ''}{said}{others}."
