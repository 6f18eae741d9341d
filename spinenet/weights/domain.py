"""What a bundle is for: its domain, as ``bundle.json`` states it and ``spinenet weights list`` shows it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from spinenet.anatomy import FINDINGS
from spinenet.errors import WeightsError

SEQUENCES = ("T1", "T2", "STIR")
REGIONS = ("cervical", "thoracic", "lumbar")
"""What a domain may name: contrasts as readers tell them apart, and parts of the spine."""

_SENTENCES, _LISTS = ("purpose", "works", "fails"), ("sequences", "regions", "validated")


@dataclass(frozen=True)
class Domain:
    """What a bundle is for, and what is known of it there.

    Attributes
    ----------
    purpose
        One sentence.
    sequences, regions
        Those that it is for, of :data:`SEQUENCES` and :data:`REGIONS`.
    works, fails
        Where it was seen to work; where it was seen not to, or was never looked at.
    validated
        Findings that were judged on real scans and agree with readers better than chance.
    """

    purpose: str
    sequences: tuple[str, ...]
    regions: tuple[str, ...]
    works: str
    fails: str
    validated: tuple[str, ...] = ()

    @property
    def not_validated(self) -> tuple[str, ...]:
        """Findings that were never checked on real scans, or were no better than chance there."""
        return tuple(finding.name for finding in FINDINGS if finding.name not in self.validated)

    @property
    def scans(self) -> str:
        """Its sequences and regions, for people."""
        return f"{', '.join(self.sequences)}; {', '.join(self.regions)}"

    def plain(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}


def parse_domain(stated: object, where: str) -> Domain:
    """The domain that JSON or TOML values state; ``where`` names it in errors.

    Raises
    ------
    WeightsError
        An entry is missing, unknown, of another type, or names what there is not.
    """
    known = {field.name for field in fields(Domain)}
    if not isinstance(stated, Mapping):
        raise WeightsError(f"{where} states a domain that is no table of entries.")
    for faulty, what in ((known - stated.keys(), "lacks"), (stated.keys() - known, "has an unknown")):
        if faulty:
            raise WeightsError(f"The domain in {where} {what} {', '.join(sorted(map(str, faulty)))}.")
    for name in _SENTENCES:
        if not isinstance(stated[name], str) or not stated[name].strip():
            raise WeightsError(f"The domain in {where} has no sentence as {name}.")
    lists = {name: _names(stated[name], name, where) for name in _LISTS}
    for name, allowed in (("sequences", SEQUENCES), ("regions", REGIONS)):
        others = [word for word in lists[name] if word not in allowed]
        if others or not lists[name]:
            said = repr(others[0]) if others else "none"
            raise WeightsError(
                f"The domain in {where} names {said} of the {name}, which are {', '.join(allowed)}."
            )
    sentences = {name: " ".join(stated[name].split()) for name in _SENTENCES}
    values: dict[str, Any] = {**sentences, **lists}
    return Domain(**values)


def domain_in(description: Mapping[str, Any], where: str) -> Domain | None:
    """The domain that a bundle's description states; None where it states none."""
    stated = description.get("domain")
    return None if stated is None else parse_domain(stated, where)


def _names(stated: object, name: str, where: str) -> tuple[str, ...]:
    if not isinstance(stated, list | tuple) or not all(isinstance(word, str) for word in stated):
        raise WeightsError(f"The domain in {where} has no list of names as {name}.")
    return tuple(stated)


def named_domain(name: str) -> Domain:
    """The domain of a TOML file, or of a bundle of the package by its name.

    Raises
    ------
    WeightsError
        It cannot be read, or is none; see :func:`parse_domain`.
    """
    packaged = files("spinenet") / "data" / "domains" / f"{name}.toml"
    is_file = name.endswith(".toml") or len(Path(name).parts) > 1
    try:
        text = Path(name).read_text("utf-8") if is_file else packaged.read_text("utf-8")
        return parse_domain(tomllib.loads(text), name)
    except OSError as error:
        raise WeightsError(f"The domain {name} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise WeightsError(f"The domain {name} is not valid TOML: {error}.") from error


def validation_sentence(findings: Sequence[str] | None) -> str:
    """What is to be known of findings that are not validated; empty where all are or nothing is known."""
    if not findings:
        return ""
    if len(findings) >= len(FINDINGS):
        return "No finding of these weights was validated on real scans."
    return f"Not validated on real scans with these weights: {', '.join(findings)}."
