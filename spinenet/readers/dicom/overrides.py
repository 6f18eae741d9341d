"""Parses the values by which a manifest overrides tags."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from types import MappingProxyType

from spinenet.errors import ScanError

OVERRIDABLE: Mapping[str, int] = MappingProxyType(
    {"PixelSpacing": 2, "SliceThickness": 1, "ImageOrientationPatient": 6}
)
"""Tags that a manifest's columns may override, with their number of values."""

_LENGTHS = frozenset({"PixelSpacing", "SliceThickness"})
_EXAMPLES = {
    "PixelSpacing": "0.7\\0.7",
    "SliceThickness": "4.4",
    "ImageOrientationPatient": "0\\1\\0\\0\\0\\-1",
}
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_BRACKETS = {"(": ")", "[": "]"}
_SEPARATORS = (r"\\", r";", r",\s", r"\s", r",")
"""Regular expressions of separators; the first that occurs is used. A lone comma may be a decimal comma."""


def override_numbers(tag: str, text: str) -> tuple[float, ...]:
    """The numbers of a value that replaces a tag, in the tag's own unit (mm, or none).

    Parameters
    ----------
    tag
        A keyword of :data:`OVERRIDABLE`.
    text
        Numbers with a decimal point, apart by backslash, semicolon, space or comma; brackets may be around
        them.

    Raises
    ------
    ScanError
        missing_tags: the text is not just so many numbers, or a length is not above 0. "0,7" for two numbers
        is refused, as it may mean 0.7.
    """
    if tag not in OVERRIDABLE:
        raise ValueError(f"only {', '.join(OVERRIDABLE)} can be overridden, not {tag!r}")
    wanted, bare = OVERRIDABLE[tag], text.strip()
    if bare and bare[-1] == _BRACKETS.get(bare[0]):
        bare = bare[1:-1].strip()
    separator = next((mark for mark in _SEPARATORS if re.search(mark, bare)), None)
    parts = [bare] if separator is None else re.split(rf"\s*{separator}\s*", bare)
    clean = len(parts) == wanted and all(_NUMBER.fullmatch(part) for part in parts)
    if separator == "," and wanted == 2 and "." not in bare:
        clean = False
    numbers = tuple(float(part) for part in parts) if clean else ()
    clean = clean and all(map(math.isfinite, numbers))
    if not clean or (tag in _LENGTHS and min(numbers) <= 0):
        what = "1 number" if wanted == 1 else f"{wanted} numbers"
        above = " above 0" if tag in _LENGTHS else ""
        raise ScanError(
            "missing_tags", f"the manifest's {tag} is not {what}{above}, written such as {_EXAMPLES[tag]}"
        )
    return numbers
