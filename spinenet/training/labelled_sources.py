"""Opens the sources of real scans that a recipe names: where their labels lie, and who is trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spinenet.errors import LabelsError, RecipeError
from spinenet.training.labels.files import LabelledFile
from spinenet.training.labels.masks import mask_files
from spinenet.training.labels.polygons import polygon_files
from spinenet.training.labels.spider import spider_files
from spinenet.training.labels.spider_slices import mid_files, space_files
from spinenet.training.outlined import Outlined
from spinenet.training.recipe import Augmentation, Recipe, SourceEntry, sentence_of
from spinenet.training.splits import SIDES, split_by_hash, split_by_lists


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Split(_Plain):
    """Who is trained on, who scores the network meanwhile, and who is left for the figures."""

    seed: int = Field(default=0, description="Another seed is another split.")
    train: float = Field(default=0.7, gt=0, le=1, description="Share of the subjects to learn from.")
    develop: float = Field(default=0.1, ge=0, lt=1, description="Share that scores the network meanwhile.")
    test: float = Field(default=0.2, ge=0, lt=1, description="Share that no training sees.")
    subjects: Mapping[Literal["train", "develop", "test"], tuple[str, ...]] = Field(
        default_factory=dict, description="Subjects whose side is said; the others' is by a hash of the seed."
    )

    def of(self, files: Sequence[LabelledFile]) -> Mapping[str, Sequence[LabelledFile]]:
        """The files by side; errors as :func:`spinenet.training.splits.side_of`."""
        said = {subject for subjects in self.subjects.values() for subject in subjects}
        lists = {str(side): subjects for side, subjects in self.subjects.items()}
        listed = split_by_lists([file for file in files if file.subject in said], lists)
        shares = {"train": self.train, "develop": self.develop, "test": self.test}
        hashed = split_by_hash(
            [file for file in files if file.subject not in said], seed=self.seed, shares=shares
        )
        return {side: [*listed[side], *hashed[side]] for side in SIDES}


class Options(_Plain):
    """What every such source knows."""

    split: Split = Split()


class ListingOptions(Options):
    """What sources of a listing know besides: see the readers in :mod:`spinenet.training.labels`."""

    source: str = Field(min_length=1, description="The collection's name.")
    spacing_mm: float | tuple[float, float] | None = None
    sequence: str = "other"


class MaskOptions(ListingOptions):
    """What a mask's values are."""

    levels: Mapping[int, str]
    canal: int | None = None


class MidOptions(Options):
    """What a folder of SPIDER's mid slices knows besides."""

    outlines: str | None = Field(default=None, description="File of `spinenet train outline`, in its folder.")
    series: tuple[str, ...] = Field(default=("t1", "t2", "t2_SPACE"), description="Those that are wanted.")


def _mids(path: Path, options: MidOptions) -> tuple[LabelledFile, ...]:
    outlines = None if options.outlines is None else path / options.outlines
    return mid_files(path, outlines=outlines, series=options.series)


def _polygons(path: Path, options: ListingOptions) -> tuple[LabelledFile, ...]:
    return polygon_files(
        path, source=options.source, spacing_mm=options.spacing_mm, sequence=options.sequence
    )


def _masks(path: Path, options: MaskOptions) -> tuple[LabelledFile, ...]:
    return mask_files(
        path,
        source=options.source,
        levels=options.levels,
        canal=options.canal,
        spacing_mm=options.spacing_mm,
        sequence=options.sequence,
    )


_READERS: Mapping[str, tuple[type[Options], Callable[[Path, Any], tuple[LabelledFile, ...]]]] = {
    "polygons": (ListingOptions, _polygons),
    "masks": (MaskOptions, _masks),
    "spider": (Options, lambda path, options: spider_files(path)),
    "spider_space": (Options, lambda path, options: space_files(path)),
    "spider_mid": (MidOptions, _mids),
}
"""By kind: the options of a source, and what lists its files."""

LABELLED_KINDS = tuple(_READERS)


def open_labelled(entry: SourceEntry, network: str, augmentation: Augmentation) -> Outlined:
    """A source of real scans, of one of :data:`LABELLED_KINDS`.

    Raises
    ------
    RecipeError
        The entry has a field that does not fit, the network is none that reads images, the labels cannot be
        listed, or nobody is left to be trained on.
    """
    where = _where(entry)
    if network == "context":
        raise RecipeError(f"{where} has no samples of the context network, which reads no images.")
    sides = labelled_files(entry)
    if not sides["train"]:
        raise RecipeError(f"{where} has nobody to train on.")
    return Outlined(
        network=network,
        files=_by_subject(sides["train"]),
        kept_back=sides["develop"],
        digest=_digest([file for side in SIDES for file in sides[side]]),
        augmentation=augmentation,
    )


def labelled_files(entry: SourceEntry) -> Mapping[str, Sequence[LabelledFile]]:
    """The files of such a source by side: "train", "develop" and "test".

    Raises
    ------
    RecipeError
        As :func:`open_labelled`.
    """
    options_of, list_files = _READERS[entry.kind]
    where = _where(entry)
    if entry.path is None:
        raise RecipeError(f"{where} needs a path.")
    path = Path(entry.path)
    try:
        options = options_of.model_validate(entry.options)
        return options.split.of(list_files(path, options))
    except ValidationError as error:
        raise RecipeError(sentence_of(error, where)) from error
    except LabelsError as error:
        raise RecipeError(f"{where}: {error}.") from error
    except OSError as error:
        raise RecipeError(f"{where}: {error.filename or path} cannot be read: {error.strerror}.") from error


def files_of(recipe: Recipe, side: str) -> Mapping[str, Sequence[LabelledFile]]:
    """The files of a recipe's labelled sources on one side, by kind of source; errors as of the others."""
    if side not in SIDES:
        raise RecipeError(f"{side!r} is no side of a split; there are {', '.join(SIDES)}.")
    files: dict[str, list[LabelledFile]] = {}
    for entry in recipe.sources:
        if entry.kind in LABELLED_KINDS:
            files.setdefault(entry.kind, []).extend(labelled_files(entry)[side])
    return files


def _where(entry: SourceEntry) -> str:
    return f"sources: a source of kind {entry.kind!r}"


def _by_subject(files: Sequence[LabelledFile]) -> Mapping[str, Sequence[LabelledFile]]:
    by: dict[str, list[LabelledFile]] = {}
    for file in files:
        by.setdefault(file.subject, []).append(file)
    return by


def _digest(files: Sequence[LabelledFile]) -> str:
    """SHA-256 (hex) of the files' names and subjects, in their order."""
    text = "\n".join(f"{file.source}\t{file.name}\t{file.subject}" for file in files)
    return sha256(text.encode()).hexdigest()
