"""Reads SPIDER's radiological gradings, in our findings and classes (spinenet/data/spider_gradings.toml)."""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from spinenet.anatomy import FINDINGS, LEVELS, disc_level
from spinenet.errors import LabelsError

_MASK_OFFSET = 200
"""What a disc's value in a mask has over its number."""


@dataclass(frozen=True)
class Gradings:
    """One patient's graded discs; as in :class:`spinenet.training.labels.labelled.LabelledScan`."""

    discs: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    allowed: Mapping[str, Mapping[str, tuple[int, ...]]] = field(default_factory=dict)


@cache
def spider_mapping() -> Mapping[str, Any]:
    """The data file that says what each code means, parsed and checked.

    Raises
    ------
    LabelsError
        It names a finding or a class that there is not.
    """
    text = files("spinenet").joinpath("data/spider_gradings.toml").read_text(encoding="utf-8")
    mapping: Mapping[str, Any] = tomllib.loads(text)
    classes = {finding.name: finding.n_classes for finding in FINDINGS}
    for column in mapping["columns"].values():
        for meaning in column["codes"].values():
            for finding, allowed in meaning.items():
                if not allowed or not set(allowed) <= set(range(classes.get(finding, 0))):
                    raise LabelsError(f"spider_gradings.toml names no class of {finding!r} in {allowed}")
    return mapping


def read_gradings(path: Path) -> Mapping[str, Gradings]:
    """Gradings by patient, from SPIDER's CSV or the smaller one with names of columns in lower case.

    Raises
    ------
    LabelsError
        A column is not there, or a cell holds what is no grade.
    OSError
        It is not there.
    """
    mapping = spider_mapping()
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        header = [name.strip() for name in reader.fieldnames or []]
        patient, disc = (_column(header, mapping[key], path) for key in ("patient", "disc"))
        columns = {
            _column(header, column["names"], path): column["codes"] for column in mapping["columns"].values()
        }
        exact: dict[str, dict[str, dict[str, int]]] = {}
        partial: dict[str, dict[str, dict[str, tuple[int, ...]]]] = {}
        for number, raw in enumerate(reader, start=2):
            row = {
                (key or "").strip(): (value or "").strip() for key, value in raw.items() if key is not None
            }
            where = f"line {number} of {path.name}"
            whose, level = str(_whole(row[patient], where)), _level(row[disc], where)
            for name, codes in columns.items():
                for finding, classes in _meaning(row[name], name, codes, where).items():
                    if len(classes) == 1:
                        exact.setdefault(whose, {}).setdefault(level, {})[finding] = int(classes[0])
                    else:
                        partial.setdefault(whose, {}).setdefault(level, {})[finding] = tuple(classes)
    return {key: Gradings(exact.get(key, {}), partial.get(key, {})) for key in exact.keys() | partial.keys()}


def _column(header: list[str], names: list[str], path: Path) -> str:
    for name in names:
        if name in header:
            return name
    raise LabelsError(f"{path.name} has no column {names[0]!r}")


def _whole(cell: str, where: str) -> int:
    try:
        number = float(cell)
    except ValueError:
        number = float("nan")
    if not number.is_integer():
        raise LabelsError(f"{where} holds {cell!r} where a whole number is needed")
    return int(number)


def _level(cell: str, where: str) -> str:
    number = _whole(cell, where)
    number -= _MASK_OFFSET if number > _MASK_OFFSET else 0
    level = disc_level(LEVELS[number - 1], LEVELS[number]) if 0 < number < len(LEVELS) else None
    if level is None:
        raise LabelsError(f"{where} grades a disc {cell!r} that there is not")
    return level


def _meaning(
    cell: str, name: str, codes: Mapping[str, Mapping[str, list[int]]], where: str
) -> Mapping[str, list[int]]:
    if not cell:
        return {}
    code = str(_whole(cell, where))
    if code not in codes:
        raise LabelsError(f"{where} holds {cell!r} as {name!r}; known are {', '.join(codes)}")
    return codes[code]
