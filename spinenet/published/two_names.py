"""An argument that has two names: the published package's own, and the one that its examples use."""

from __future__ import annotations

from typing import Any


def one_of(first: str, value: Any, second: str, other: Any) -> Any:
    """The value of an argument that has two names, of which one is used.

    Raises
    ------
    TypeError
        Both are given, or neither.
    """
    if (value is None) == (other is None):
        raise TypeError(f"give {first}, or {second}, which is another name for it, and not both")
    return other if value is None else value
