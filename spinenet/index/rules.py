"""Chooses the series of a subject to grade, by rules in TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.resources import files
from typing import Any

from spinenet.errors import RulesError
from spinenet.index.candidates import ELSEWHERE, BodyParts, Folders, folder_named, no_candidate
from spinenet.index.rows import Row
from spinenet.readers.dicom.choice import listed_labels
from spinenet.readers.dicom.grouping import series_label

GRADING, DETECTION = "grading", "detection"
"""Purposes of a series: to be graded; or usable to detect vertebrae only."""
AMBIGUOUS = "several_series"
"""Reason code of series that the rules rank equal."""
_RANGE = ("least", "most")
"""Keys of a condition that bounds a number."""


@dataclass(frozen=True)
class Rule:
    """Conditions on a row's columns, all of which must hold.

    Attributes
    ----------
    name
        Name of the rule, shown as the reason of a choice.
    conditions
        Wanted value, list of values or range, by column.
    without
        Words that the description must not have.
    """

    name: str
    conditions: Mapping[str, Any]
    without: frozenset[str] = frozenset()

    def meets(self, row: Mapping[str, Any]) -> bool:
        """Whether a row meets every condition."""
        words = set(str(row.get("description") or "").split())
        return not words & self.without and all(
            _holds(row.get(column), wanted) for column, wanted in self.conditions.items()
        )


@dataclass(frozen=True)
class Rules:
    """Rules that choose among a subject's series.

    Attributes
    ----------
    regions
        Words that name a region of the body, by region.
    grading
        Rules for the series to grade, in order of preference.
    detection
        Rule for series that are usable for detection only.
    prefer
        Columns that break ties, the larger value first; with a minus sign the smaller.
    folders
        Folder names that say what lies below them.
    body_parts
        Terms of body parts; None admits every body part.
    """

    regions: Mapping[str, frozenset[str]]
    grading: tuple[Rule, ...]
    detection: Rule
    prefer: tuple[str, ...] = ()
    folders: Folders = field(default_factory=Folders)
    body_parts: BodyParts | None = None


def load_rules(text: str | None, columns: Iterable[str], numbers: Container[str]) -> Rules:
    """Parse rules from TOML.

    Parameters
    ----------
    text
        The TOML; None takes the package's own rules (``spinenet/data/series_rules.toml``).
    columns
        Columns that rules may name.
    numbers
        The numeric ones among them.

    Raises
    ------
    RulesError
        Invalid TOML, an unknown key or column, or a value of the wrong type.
    """
    if text is None:
        text = (files("spinenet") / "data" / "series_rules.toml").read_text(encoding="utf-8")
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RulesError(f"the rules are no TOML: {error}") from None
    allowed = {*columns, "region"}
    unknown = set(document) - {"prefer", "regions", "grading", "detection", "folders", "body_parts"}
    if unknown:
        raise RulesError(f"the rules have no part named {', '.join(sorted(unknown))}")
    regions, detection = _table(document, "regions"), _table(document, "detection")
    grading = document.get("grading", [])
    parts = _lists(document, "body_parts", BodyParts)
    folders = _lists(document, "folders", Folders)
    if not (isinstance(grading, list) and all(isinstance(rule, dict) for rule in grading)):
        raise RulesError("grading is a list of rules, each of which begins with [[grading]]")
    prefer = _words(document.get("prefer", []), "prefer")
    _check_columns((column.removeprefix("-") for column in prefer), allowed)
    _check_numbers((column.removeprefix("-") for column in prefer), numbers)
    return Rules(
        regions={name: frozenset(_words(words, name)) for name, words in regions.items()},
        grading=tuple(_rule(rule, allowed, numbers) for rule in grading),
        detection=_rule({"name": DETECTION, **detection}, allowed, numbers),
        prefer=prefer,
        folders=Folders(**folders),
        body_parts=BodyParts(**{name: frozenset(terms) for name, terms in parts.items()}) if parts else None,
    )


def _table(document: Mapping[str, Any], part: str) -> dict[str, Any]:
    table = document.get(part, {})
    if not isinstance(table, dict):
        raise RulesError(f"{part} is a table: [{part}]")
    return table


def _lists(document: Mapping[str, Any], part: str, kind: type) -> dict[str, tuple[str, ...]]:
    """The lists of words in a table of the document, by the attributes of ``kind``; empty without it."""
    table = _table(document, part)
    names = [attribute.name for attribute in fields(kind)]
    unknown = table.keys() - set(names)
    if unknown:
        raise RulesError(f"{part} has {', '.join(names)}, not {', '.join(sorted(unknown))}")
    return {name: _words(table.get(name, []), f"{part}.{name}") for name in names} if table else {}


def _rule(table: Mapping[str, Any], allowed: set[str], numbers: Container[str]) -> Rule:
    conditions = {key: value for key, value in table.items() if key not in ("name", "without")}
    _check_columns(conditions, allowed)
    for column, condition in conditions.items():
        if not isinstance(condition, Mapping):
            continue
        if set(condition) - set(_RANGE):
            raise RulesError(f"a condition knows {' and '.join(_RANGE)}, not {', '.join(condition)}")
        _check_numbers([column], numbers)
        if not all(type(limit) in (int, float) for limit in condition.values()):
            raise RulesError(f"the {' and '.join(_RANGE)} of {column} are numbers")
    name = str(table.get("name") or ", ".join(f"{key} {value}" for key, value in conditions.items()))
    return Rule(name, conditions, frozenset(_words(table.get("without", []), "without")))


def _words(value: Any, what: str) -> tuple[str, ...]:
    if not (isinstance(value, list) and all(isinstance(word, str) for word in value)):
        raise RulesError(f'{what} is a list of words, such as ["one", "two"]')
    return tuple(value)


def _check_columns(names: Iterable[str], allowed: set[str]) -> None:
    unknown = [name for name in names if name not in allowed]
    if unknown:
        raise RulesError(f"the rules name {', '.join(unknown)}; the columns are {', '.join(sorted(allowed))}")


def _check_numbers(names: Iterable[str], numbers: Container[str]) -> None:
    text = [name for name in names if name not in numbers]
    if text:
        raise RulesError(f"the rules compare {', '.join(text)}, which are no numbers")


def _holds(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        return value is not None and wanted.get("least", value) <= value <= wanted.get("most", value)
    value = "" if value is None else value
    return value in wanted if isinstance(wanted, list) else bool(value == wanted)


def region_of(row: Mapping[str, Any], rules: Rules) -> str:
    """The first region that the description or the body part names by one of its words; else empty.

    The region "elsewhere" comes last, and never where the body part or the description names the spine.
    """
    part = row.get("body_part") or ""
    words_in_row = set(f"{row.get('description') or ''} {part}".lower().split())
    parts = rules.body_parts
    spine = parts is not None and bool(part in parts.spine or words_in_row & parts.words)
    named = [name for name, words in rules.regions.items() if words & words_in_row]
    if ELSEWHERE in named:
        named.remove(ELSEWHERE)
        named += [] if spine else [ELSEWHERE]
    return next(iter(named), "")


def choose(rows: Sequence[Row], rules: Rules, root: str = "") -> list[Row]:
    """Choose the series to grade among all series of one subject.

    Parameters
    ----------
    rows
        All series of the subject.
    rules
        Rules of the choice.
    root
        Root of the index, with which the rows' paths begin; only folder names below it count.

    Returns
    -------
    list of dict
        The rows with ``region``, ``purpose`` ("grading", "detection" or None), ``choice`` (its reason) and,
        where the choice is ambiguous or the series is no candidate, ``reason`` and ``detail``.
    """
    rows = [{**row, "region": region_of(row, rules), "purpose": None, "choice": None} for row in rows]
    candidates, sources = [], []
    for row in rows:
        if not row["usable"]:
            continue
        below = row["path"].removeprefix(root) if "path" in row else ""
        why = no_candidate(row, rules.body_parts, rules.folders, below)
        if why is not None:
            row |= {"reason": why[0], "detail": why[1], "choice": f"no candidate: {why[1]}"}
        elif folder_named(below, rules.folders.source):
            sources.append(row)
        else:
            candidates.append(row)
    if not _grade(candidates, rules):
        _grade(sources, rules)
    for row in [*candidates, *sources]:
        if row["choice"] is None and rules.detection.meets(row):
            row |= {"purpose": DETECTION, "choice": "usable, but not what is graded"}
    return rows


def _grade(candidates: Sequence[Row], rules: Rules) -> bool:
    """Apply the first rule that any candidate meets; whether there is such a rule."""
    for rule in rules.grading:
        met = [row for row in candidates if rule.meets(row)]
        if met:
            _decide(_preferred(met, rules.prefer), rule)
            return True
    return False


def _decide(best: list[Row], rule: Rule) -> None:
    if len(best) == 1:
        best[0] |= {"purpose": GRADING, "choice": rule.name}
        return
    listed = listed_labels([_label(row) for row in best])
    for row in best:
        row |= {
            "reason": AMBIGUOUS,
            "detail": f"{len(best)} series are each {rule.name}: {listed}",
            "choice": f"one of {len(best)}: {rule.name}",
        }


def _preferred(rows: list[Row], prefer: Sequence[str]) -> list[Row]:
    for column in prefer:
        sign = -1 if column.startswith("-") else 1
        values = [sign * float(row.get(column.removeprefix("-")) or 0) for row in rows]
        rows = [row for row, value in zip(rows, values, strict=True) if value == max(values)]
    return rows


def _label(row: Row) -> str:
    words, uid = row.get("description") or "", row.get("series_uid") or ""
    return series_label(row["sequence"], words, row["slices"], uid)
