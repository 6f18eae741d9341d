"""An input that once went wrong; tests/cases/case_table.py writes out a table of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Case:
    """One input.

    Attributes
    ----------
    name
        What a user would call it.
    before
        What version 0.1 made of it.
    right
        What is to come of it.
    outcome
        Makes the input in an empty folder, and says what comes of it.
    possible
        Whether it can be made on this machine.
    """

    name: str
    before: str
    right: str
    outcome: Callable[[Path], str]
    possible: Callable[[], bool] = lambda: True

    def __str__(self) -> str:
        return self.name
