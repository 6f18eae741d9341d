"""Outlines bodies that nobody outlined, in a recipe's single slices, with a bundle that finds them."""

from __future__ import annotations

from pathlib import Path

from spinenet.training.labelled_score import found_in
from spinenet.training.labelled_sources import labelled_files
from spinenet.training.labels.files import Unused
from spinenet.training.labels.outlining import outline_line, write_outlines
from spinenet.training.labels.pairs import chosen
from spinenet.training.recipe import Recipe
from spinenet.weights import resolve


def outline(source: str, recipe: Recipe, out: Path, *, processes: int = 1) -> tuple[int, int]:
    """Write outlines of a recipe's labelled scans that are single slices without bodies.

    :func:`spinenet.training.labels.pairs.chosen` says which are taken, and what T2 takes of T1.

    Returns
    -------
    tuple of int
        (slices whose vertebrae may be taken for labels and are written, slices looked at).

    Raises
    ------
    RecipeError, WeightsError
        The recipe, its sources or the bundle cannot be used.
    """
    files = [
        file
        for entry in recipe.sources
        if entry.kind == "spider_mid"
        for side in labelled_files(entry).values()
        for file in side
    ]
    found = {
        made[0].name: made
        for made in found_in(resolve(source), files, processes=processes)
        if not isinstance(made, Unused) and not made[0].vertebrae
    }
    lines = [outline_line(found[name][0], outlines) for name, outlines in chosen(found).items()]
    return write_outlines(out, lines), len(found)
