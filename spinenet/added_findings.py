"""Findings that a bundle adds to the eleven: what each is of, its codes, and its columns in the tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

Of = Literal["disc", "vertebra"]
Scale = Literal["binary", "ordinal", "classes"]

TABLE_OF: Mapping[Of, str] = MappingProxyType({"disc": "grades", "vertebra": "vertebrae"})
"""Table with the columns of a finding, by what it is of."""

HIGHEST_CODE = 127
"""Codes are kept in one byte."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True)
class AddedFinding:
    """One finding that a bundle adds.

    Attributes
    ----------
    name
        Its column; those of probabilities begin with it.
    of
        "disc" or "vertebra".
    scale
        "binary", "ordinal" (steps of one scale) or "classes" (without an order).
    codes
        The values that the classes stand for, in class order and growing.
    meanings
        What each code says, in words.
    """

    name: str
    of: Of
    scale: Scale
    codes: tuple[int, ...]
    meanings: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.of not in TABLE_OF or self.scale not in ("binary", "ordinal", "classes"):
            raise ValueError(
                f"{self.name} is of {self.of!r} on the scale {self.scale!r}, which are not known"
            )
        if not is_column_name(self.name):
            raise ValueError(f"{self.name!r} is no name of a column")
        if list(self.codes) != sorted(set(self.codes)) or len(self.meanings) != len(self.codes):
            raise ValueError(f"the codes of {self.name} do not grow, or lack a meaning")
        if len(self.codes) < 2 or not 0 <= self.codes[0] <= self.codes[-1] <= HIGHEST_CODE:
            raise ValueError(f"the codes of {self.name} are not two or more from 0 to {HIGHEST_CODE}")
        if self.scale == "binary" and len(self.codes) != 2:
            raise ValueError(f"{self.name} is binary and has {len(self.codes)} codes")

    @property
    def table(self) -> str:
        """The table that it has columns in."""
        return TABLE_OF[self.of]

    @property
    def n_classes(self) -> int:
        """Classes of its head."""
        return len(self.codes)

    def columns(self) -> Iterator[tuple[str, str]]:
        """(name, what it holds) of each of its columns; the first is the grade, the others are numbers."""
        coding = ", ".join(f"{code} {text}" for code, text in zip(self.codes, self.meanings, strict=True))
        yield self.name, f"Class of the largest probability, {self.scale}: {coding}."
        for code in self.codes if self.scale != "binary" else self.codes[-1:]:
            yield f"{self.name}_p{code}", f"Probability of {code}, from 0 to 1."
        if self.scale == "ordinal":
            yield f"{self.name}_expected", "Mean of the codes, weighted by their probabilities."

    def cells(self, probabilities: Sequence[float]) -> dict[str, int | float]:
        """The values of a row's columns from a probability for each class, with some that no column takes."""
        known = dict(zip(self.codes, map(float, probabilities), strict=True))
        cells: dict[str, int | float] = {self.name: max(known, key=known.__getitem__)}
        cells |= {f"{self.name}_p{code}": share for code, share in known.items()}
        return cells | {f"{self.name}_expected": sum(code * share for code, share in known.items())}

    def plain(self) -> dict[str, Any]:
        """Its fields as JSON values."""
        coding = {str(code): text for code, text in zip(self.codes, self.meanings, strict=True)}
        return {"name": self.name, "of": self.of, "scale": self.scale, "codes": coding}

    @classmethod
    def of_plain(cls, fields: Mapping[str, Any]) -> AddedFinding:
        """The finding that :meth:`plain` described; ValueError, KeyError or TypeError where none is."""
        codes = {int(code): str(text) for code, text in fields["codes"].items()}
        ordered = tuple(sorted(codes))
        return cls(
            str(fields["name"]),
            fields["of"],
            fields["scale"],
            ordered,
            tuple(codes[code] for code in ordered),
        )


def is_column_name(name: str) -> bool:
    """Whether a finding may have this name: lower-case letters, digits and underscores, a letter first."""
    return _NAME.fullmatch(name) is not None


def of_what(findings: Sequence[AddedFinding], of: Of) -> tuple[AddedFinding, ...]:
    """Those of some findings that are of a disc, or of a vertebra."""
    return tuple(finding for finding in findings if finding.of == of)
