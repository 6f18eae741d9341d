"""Reads values of single tags; an invalid value counts as absent."""

from __future__ import annotations

import logging
import math
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

_LOCK = threading.RLock()


class Tags(Protocol):
    """A header, or one frame of it, that gives values by keyword."""

    def get(self, keyword: str, /) -> Any:
        """A tag's value; None where absent."""

    def __contains__(self, keyword: str, /) -> bool: ...


@contextmanager
def quiet_pydicom() -> Iterator[list[warnings.WarningMessage]]:
    """Collect pydicom's warnings and silence its and its decoders' logs, which may quote a header.

    Warning filters apply to the whole process, hence the lock; pydicom holds the interpreter's lock anyway,
    so threads lose little.
    """
    logs = [logging.getLogger(name) for name in ("pydicom", "openjpeg", "pylibjpeg", "libjpeg")]
    with _LOCK, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before = [log.propagate for log in logs]
        for log in logs:
            log.propagate = False
        try:
            yield caught
        finally:
            for log, propagate in zip(logs, before, strict=True):
                log.propagate = propagate


def _value(tags: Tags, keyword: str) -> Any:
    try:
        return tags.get(keyword)
    except Exception:
        _warn()
        return None


def _warn() -> None:
    """Warn of an invalid value, among pydicom's own warnings."""
    warnings.warn("a tag's value is not what the tag wants", stacklevel=3)


def text_of(header: Tags, keyword: str) -> str:
    """A tag's text, with backslashes between several values; empty where absent."""
    value = _value(header, keyword)
    if value is None:
        return ""
    return "\\".join(map(str, value)) if isinstance(value, (list, MultiValue)) else str(value)


def items_of(header: Tags, keyword: str, most: int) -> list[Dataset]:
    """A sequence's first items; none where it is absent or anything else."""
    value = _value(header, keyword)
    return list(value[:most]) if isinstance(value, Sequence) else []


def numbers_of(header: Tags, keyword: str, count: int) -> tuple[float, ...] | None:
    """``count`` finite numbers; None where absent or anything else."""
    value = _value(header, keyword)
    if value is None or value == "":
        return None
    try:
        numbers = tuple(map(float, [value] if isinstance(value, (int, float, str)) else value))
    except (TypeError, ValueError, OverflowError):
        numbers = ()
    if len(numbers) == count and all(map(math.isfinite, numbers)):
        return numbers
    _warn()
    return None


def number_of(header: Tags, keyword: str) -> float | None:
    """One finite number; None where absent or anything else."""
    numbers = numbers_of(header, keyword, 1)
    return numbers[0] if numbers else None


def whole_of(header: Tags, keyword: str) -> int | None:
    """One whole number; None where absent or anything else."""
    number = number_of(header, keyword)
    return int(number) if number is not None and number == int(number) else None


def integer_of(header: Tags, keyword: str) -> int | None:
    """One integer of a tag whose VR may be US or SS, and whose value may therefore be bytes; else None."""
    value = _value(header, keyword)
    if isinstance(value, bytes):
        return int.from_bytes(value[:2], "little") if len(value) >= 2 else None
    return whole_of(header, keyword)
