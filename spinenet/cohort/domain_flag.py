"""The flag of scans that the run's weights are not stated to be for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from spinenet.cohort.rows import ScanFacts
from spinenet.weights.domain import REGIONS, Domain

FLAG = "outside_domain"

_CERVICAL, _THORACIC, _LUMBAR = REGIONS
_REGIONS_OF_PART: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "CSPINE": frozenset({_CERVICAL}),
        "CTSPINE": frozenset({_CERVICAL, _THORACIC}),
        "TSPINE": frozenset({_THORACIC}),
        "TLSPINE": frozenset({_THORACIC, _LUMBAR}),
        "WHOLESPINE": frozenset(REGIONS),
    }
)
"""Regions of a header's body part; parts that are not here may well show a lumbar spine."""
_THORACIC_LEVELS = tuple(f"T{k}" for k in range(1, 9))
"""Levels that a scan of the lumbar spine does not show; it may well reach up to the ninth."""


def in_domain(domain: Domain | None, facts: ScanFacts, levels: Iterable[str | None] = ()) -> bool:
    """Whether nothing speaks against a scan being one that the weights are for.

    Parameters
    ----------
    domain
        Of the weights; all scans are in one that is not known.
    facts
        Of the scan as stored. A sequence that the header gives no times to tell speaks against nothing.
    levels
        Of the vertebrae that were found.
    """
    if domain is None:
        return True
    unknown = facts.sequence == "other" and "echo_time" not in facts.header
    if facts.sequence not in domain.sequences and not unknown:
        return False
    shown = set(_REGIONS_OF_PART.get(str(facts.header.get("body_part")), ()))
    for level in levels:
        if level is not None and level.startswith("C"):
            shown.add(_CERVICAL)
        elif level in _THORACIC_LEVELS:
            shown.add(_THORACIC)
    return shown <= set(domain.regions)


def flagged(facts: ScanFacts, domain: Domain | None, levels: Iterable[str | None] = ()) -> ScanFacts:
    """The facts, with the flag where the scan is not :func:`in_domain`."""
    return facts if in_domain(domain, facts, levels) else replace(facts, flags=(*facts.flags, FLAG))
