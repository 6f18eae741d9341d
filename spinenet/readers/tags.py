"""Values of single tags, where a value that is not what its tag wants counts as absent."""

from __future__ import annotations

import logging
import math
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Any

from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement, convert_raw_data_element
from pydicom.dataset import FileDataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag

_LOCK = threading.RLock()
_CACHED_BYTES = 256
"""Longer values are no numbers or terms that many files share."""


@contextmanager
def quiet_pydicom() -> Iterator[list[warnings.WarningMessage]]:
    """Collect pydicom's warnings and keep its and its decoders' logs back: they may quote a header.

    Warning filters belong to the whole process, hence the lock; pydicom's work holds the interpreter
    anyway, so threads lose little.
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


def _value(header: FileDataset, keyword: str) -> Any:
    element = header.get_item(_tag(keyword))
    if element is None:
        return None
    value: Any
    if isinstance(element, RawDataElement) and len(element.value or b"") <= _CACHED_BYTES:
        value, odd = _converted(element._replace(value_tell=0), _encodings(header))
    else:
        value, odd = _read(lambda: header[element.tag].value)
    if odd:
        _warn()
    return value


@cache
def _tag(keyword: str) -> BaseTag:
    return BaseTag(tag_for_keyword(keyword) or 0)


def _encodings(header: FileDataset) -> tuple[str, ...]:
    # of its class where a header names none; reading the tag itself would convert it for each file
    found = header.original_character_set or []
    return (found,) if isinstance(found, str) else tuple(found)


@lru_cache(maxsize=1 << 14)
def _converted(element: RawDataElement, encodings: tuple[str, ...]) -> tuple[Any, bool]:
    """(value, whether pydicom found it odd): the files of a series share most of their values."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value, odd = _read(lambda: convert_raw_data_element(element, encoding=list(encodings)).value)
    return value, odd or bool(caught)


def _read(value_of: Callable[[], Any]) -> tuple[Any, bool]:
    try:
        return value_of(), False
    except Exception:
        return None, True


def _warn() -> None:
    """Let a value that counts as absent show among pydicom's own warnings."""
    warnings.warn("a tag's value is not what the tag wants", stacklevel=3)


def text_of(header: FileDataset, keyword: str) -> str:
    """A tag's text, several values apart by a backslash; empty where absent."""
    value = _value(header, keyword)
    if value is None:
        return ""
    return "\\".join(map(str, value)) if isinstance(value, (list, MultiValue)) else str(value)


def numbers_of(header: FileDataset, keyword: str, count: int) -> tuple[float, ...] | None:
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


def number_of(header: FileDataset, keyword: str) -> float | None:
    """One finite number; None where absent or anything else."""
    numbers = numbers_of(header, keyword, 1)
    return numbers[0] if numbers else None


def whole_of(header: FileDataset, keyword: str) -> int | None:
    """One whole number; None where absent or anything else."""
    number = number_of(header, keyword)
    return int(number) if number is not None and number == int(number) else None
