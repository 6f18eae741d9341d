"""Which series of a subject is graded, by rules that are data."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from spinenet.errors import SpinenetError

Row = dict[str, Any]
GRADING, DETECTION = "grading", "detection"
AMBIGUOUS = "several_series"
_LISTED = 8
_RANGE = ("least", "most")


class RulesError(SpinenetError, ValueError):
    """Rules that cannot be read or name what there is not."""


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
    """

    regions: Mapping[str, frozenset[str]]
    grading: tuple[Rule, ...]
    detection: Rule
    prefer: tuple[str, ...] = ()


def load_rules(text: str | None, columns: Iterable[str]) -> Rules:
    """Rules from TOML; None takes those that come with the package (``spinenet/data/series_rules.toml``).

    Raises
    ------
    RulesError
        No TOML, or a key or column that does not exist.
    """
    if text is None:
        text = (files("spinenet") / "data" / "series_rules.toml").read_text(encoding="utf-8")
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RulesError(f"the rules are no TOML: {error}") from None
    known = {*columns, "region"}
    unknown = set(said) - {"prefer", "regions", "grading", "detection"}
    if unknown:
        raise RulesError(f"the rules have no part named {', '.join(sorted(unknown))}")
    prefer = tuple(said.get("prefer", ()))
    _check_columns((column.lstrip("-") for column in prefer), known)
    return Rules(
        regions={name: frozenset(words) for name, words in said.get("regions", {}).items()},
        grading=tuple(_rule(one, known) for one in said.get("grading", ())),
        detection=_rule({"name": DETECTION, **said.get("detection", {})}, known),
        prefer=prefer,
    )


def _rule(said: Mapping[str, Any], known: set[str]) -> Rule:
    conditions = {key: value for key, value in said.items() if key not in ("name", "without")}
    _check_columns(conditions, known)
    for wanted in conditions.values():
        if isinstance(wanted, Mapping) and set(wanted) - set(_RANGE):
            raise RulesError(f"a condition knows {' and '.join(_RANGE)}, not {', '.join(wanted)}")
    name = str(said.get("name") or ", ".join(f"{key} {value}" for key, value in conditions.items()))
    return Rule(name, conditions, frozenset(said.get("without", ())))


def _check_columns(names: Iterable[str], known: set[str]) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise RulesError(f"the rules name {', '.join(unknown)}; the columns are {', '.join(sorted(known))}")


def _holds(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        return value is not None and wanted.get("least", value) <= value <= wanted.get("most", value)
    return (value or "") in wanted if isinstance(wanted, list) else (value or "") == wanted


def region_of(row: Mapping[str, Any], rules: Rules) -> str:
    """The first region of which the description or the body part has a word; empty if none has."""
    said = f"{row.get('description') or ''} {row.get('body_part') or ''}".lower().split()
    return next((name for name, words in rules.regions.items() if words & set(said)), "")


def choose(rows: Sequence[Row], rules: Rules) -> list[Row]:
    """Decide what becomes of each series of one subject.

    Parameters
    ----------
    rows
        All series of a subject.

    Returns
    -------
    list of dict
        The rows with ``region``, ``purpose`` ("grading", "detection" or None), ``choice`` (why) and, where
        the choice is ambiguous, ``reason`` and ``detail``.
    """
    rows = [{**row, "region": region_of(row, rules), "purpose": None, "choice": None} for row in rows]
    usable = [row for row in rows if row["usable"]]
    for rule in rules.grading:
        met = [row for row in usable if rule.meets(row)]
        if met:
            _decide(_preferred(met, rules.prefer), rule)
            break
    for row in usable:
        if row["choice"] is None and rules.detection.meets(row):
            row |= {"purpose": DETECTION, "choice": "usable, but not what is graded"}
    return rows


def _decide(best: list[Row], rule: Rule) -> None:
    if len(best) == 1:
        best[0] |= {"purpose": GRADING, "choice": rule.name}
        return
    listed = "; ".join(_label(row) for row in best[:_LISTED])
    more = f" and {len(best) - _LISTED} more" if len(best) > _LISTED else ""
    for row in best:
        row |= {
            "reason": AMBIGUOUS,
            "detail": f"{len(best)} series are each {rule.name}: {listed}{more}",
            "choice": f"one of {len(best)}: {rule.name}",
        }


def _preferred(rows: list[Row], prefer: Sequence[str]) -> list[Row]:
    for column in prefer:
        sign = -1 if column.startswith("-") else 1
        values = [sign * float(row.get(column.lstrip("-")) or 0) for row in rows]
        rows = [row for row, value in zip(rows, values, strict=True) if value == max(values)]
    return rows


def _label(row: Row) -> str:
    said = (row["sequence"], row.get("description"), f"{row['slices']} slices")
    return f"{' '.join(str(part) for part in said if part)}, UID {row.get('series_uid') or 'absent'}"
