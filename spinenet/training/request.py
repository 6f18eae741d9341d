"""What a training is asked for, as plain values: a command line, a form or another program can say them."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from spinenet.errors import RecipeError
from spinenet.training.recipe import Network, Recipe, packaged_recipe, read_recipe, with_data


class TrainingRequest(BaseModel):
    """A network that is to be trained, by which recipe, and where its checkpoint goes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: Network = Field(description="detector, appearance, context or grading.")
    out: str = Field(
        min_length=1,
        description="Folder on a disk for the checkpoint, its history and its card; a training of the same "
        "recipe that is there is gone on with.",
    )
    recipe: str | None = Field(
        default=None,
        description="TOML file of the recipe, or the name of one of the package; the network's where none is "
        "given.",
    )
    data: str | None = Field(
        default=None, description="Folder that relative paths of the recipe's sources start from."
    )
    steps: int | None = Field(
        default=None, ge=1, description="Steps of the whole training, in place of the recipe's."
    )
    minutes: float | None = Field(
        default=None, gt=0, description="Time after which a checkpoint is written and training ends."
    )
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N.")
    workers: int | None = Field(
        default=None,
        ge=0,
        description="Processes of each rank that make samples, at the most; half of the cores where none is "
        "given.",
    )


def recipe_of(request: TrainingRequest) -> Recipe:
    """The recipe that a request names, with its steps.

    Raises
    ------
    RecipeError
        It cannot be read, or is of another network.
    """
    recipe = named_recipe(request.recipe or request.network)
    if request.data is not None:
        recipe = with_data(recipe, Path(request.data))
    if recipe.network != request.network:
        raise RecipeError(
            f"The recipe {request.recipe} is for the {recipe.network}, not for the {request.network}."
        )
    return recipe if request.steps is None else recipe.model_copy(update={"steps": request.steps})


def named_recipe(name: str) -> Recipe:
    """The recipe of a TOML file, or of a name of the package; errors as of :func:`recipe_of`."""
    is_file = name.endswith(".toml") or len(Path(name).parts) > 1
    return read_recipe(Path(name)) if is_file else packaged_recipe(name)
