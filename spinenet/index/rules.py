"""Which series of a subject is graded, by rules that are data."""

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
AMBIGUOUS = "several_series"
_RANGE = ("least", "most")


@dataclass(frozen=True)
class Rule:
    """Conditions on a row's columns; all must hold."""

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
    """What decides a subject's series.

    Attributes
    ----------
    regions
        Region to the words that tell it.
    grading
        In order of preference.
    prefer
        Columns to break ties by; a minus sign wants the smaller.
    body_parts
        None leaves no body part out.
    """

    regions: Mapping[str, frozenset[str]]
    grading: tuple[Rule, ...]
    detection: Rule
    prefer: tuple[str, ...] = ()
    folders: Folders = field(default_factory=Folders)
    body_parts: BodyParts | None = None


def load_rules(text: str | None, columns: Iterable[str], numbers: Container[str]) -> Rules:
    """Rules from TOML; None takes those that come with the package (``spinenet/data/series_rules.toml``).

    Parameters
    ----------
    text
        The TOML.
    columns
        What rules may name.
    numbers
        Those of them that hold numbers.

    Raises
    ------
    RulesError
        No TOML, a key or column that does not exist, or a value of another kind than is wanted.
    """
    if text is None:
        text = (files("spinenet") / "data" / "series_rules.toml").read_text(encoding="utf-8")
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RulesError(f"the rules are no TOML: {error}") from None
    known = {*columns, "region"}
    unknown = set(said) - {"prefer", "regions", "grading", "detection", "folders", "body_parts"}
    if unknown:
        raise RulesError(f"the rules have no part named {', '.join(sorted(unknown))}")
    regions, detection = _table(said, "regions"), _table(said, "detection")
    grading = said.get("grading", [])
    parts = _lists(said, "body_parts", BodyParts)
    folders = _lists(said, "folders", Folders)
    if not (isinstance(grading, list) and all(isinstance(one, dict) for one in grading)):
        raise RulesError("grading is a list of rules, each of which begins with [[grading]]")
    prefer = _words(said.get("prefer", []), "prefer")
    _check_columns((column.removeprefix("-") for column in prefer), known)
    _check_numbers((column.removeprefix("-") for column in prefer), numbers)
    return Rules(
        regions={name: frozenset(_words(words, name)) for name, words in regions.items()},
        grading=tuple(_rule(one, known, numbers) for one in grading),
        detection=_rule({"name": DETECTION, **detection}, known, numbers),
        prefer=prefer,
        folders=Folders(**folders),
        body_parts=BodyParts(**{name: frozenset(terms) for name, terms in parts.items()}) if parts else None,
    )


def _table(said: Mapping[str, Any], part: str) -> dict[str, Any]:
    table = said.get(part, {})
    if not isinstance(table, dict):
        raise RulesError(f"{part} is a table: [{part}]")
    return table


def _lists(said: Mapping[str, Any], part: str, kind: type) -> dict[str, tuple[str, ...]]:
    """The lists of words of a table, one for each of a dataclass's attributes; none without the table."""
    table = _table(said, part)
    names = [one.name for one in fields(kind)]
    unknown = table.keys() - set(names)
    if unknown:
        raise RulesError(f"{part} has {', '.join(names)}, not {', '.join(sorted(unknown))}")
    return {name: _words(table.get(name, []), f"{part}.{name}") for name in names} if table else {}


def _rule(said: Mapping[str, Any], known: set[str], numbers: Container[str]) -> Rule:
    conditions = {key: value for key, value in said.items() if key not in ("name", "without")}
    _check_columns(conditions, known)
    for column, wanted in conditions.items():
        if not isinstance(wanted, Mapping):
            continue
        if set(wanted) - set(_RANGE):
            raise RulesError(f"a condition knows {' and '.join(_RANGE)}, not {', '.join(wanted)}")
        _check_numbers([column], numbers)
        if not all(type(limit) in (int, float) for limit in wanted.values()):
            raise RulesError(f"the {' and '.join(_RANGE)} of {column} are numbers")
    name = str(said.get("name") or ", ".join(f"{key} {value}" for key, value in conditions.items()))
    return Rule(name, conditions, frozenset(_words(said.get("without", []), "without")))


def _words(said: Any, what: str) -> tuple[str, ...]:
    if not (isinstance(said, list) and all(isinstance(word, str) for word in said)):
        raise RulesError(f'{what} is a list of words, such as ["one", "two"]')
    return tuple(said)


def _check_columns(names: Iterable[str], known: set[str]) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise RulesError(f"the rules name {', '.join(unknown)}; the columns are {', '.join(sorted(known))}")


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
    """The first region of which the description, or else the body part, has a word; empty if none has.

    Words of the region "elsewhere" count last, and not where the body part or the description names a spine.
    """
    part = row.get("body_part") or ""
    said = set(f"{row.get('description') or ''} {part}".lower().split())
    parts = rules.body_parts
    spine = parts is not None and bool(part in parts.spine or said & parts.words)
    named = [name for name, words in rules.regions.items() if words & said]
    if ELSEWHERE in named:
        named.remove(ELSEWHERE)
        named += [] if spine else [ELSEWHERE]
    return next(iter(named), "")


def choose(rows: Sequence[Row], rules: Rules, root: str = "") -> list[Row]:
    """Decide what becomes of each series of one subject.

    Parameters
    ----------
    rows
        All series of a subject.
    root
        Of the index, as the rows' paths begin: names of folders count below it.

    Returns
    -------
    list of dict
        The rows with ``region``, ``purpose`` ("grading", "detection" or None), ``choice`` (why) and, where
        the choice is ambiguous or the series no candidate, ``reason`` and ``detail``.
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
    """Decide by the first rule that any of the candidates meets; whether there is one."""
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
