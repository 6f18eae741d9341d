"""Files of a series differ in few values: what one of them was read to holds for the others."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pydicom.tag import Tag

from spinenet.index.fast.walk import Walked
from spinenet.readers.dicom.frames import Frame
from spinenet.readers.dicom.groups import GROUPS

_INSTANCE, _NUMBER, _POSITION = (
    int(Tag(keyword)) for keyword in ("SOPInstanceUID", "InstanceNumber", "ImagePositionPatient")
)
_OWN = frozenset((_INSTANCE, _NUMBER, _POSITION))
"""Tags whose values files of a series do not have in common."""
_GROUPS = frozenset(int(Tag(keyword)) for keyword in GROUPS)

_WHOLE = re.compile(rb" *[-+]?\d{1,9} *")
_DECIMAL = re.compile(rb" *[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)? *")
_UID = re.compile(rb"[0-9.]{1,64}\0?")
_LONGEST_DECIMAL = 16
"""Characters (PS3.5 6.2)."""
_MOST_KNOWN, _MOST_BYTES = 4096, 8192

_known: dict[object, Frame] = {}
"""Frames by all that decides on them but a file's own values."""


@dataclass(frozen=True)
class Sibling:
    """A file among those of its series.

    Attributes
    ----------
    position, number, instance_uid
        Its ImagePositionPatient in mm, its InstanceNumber and its SOPInstanceUID.
    """

    position: tuple[float, ...] | None
    number: float | None
    instance_uid: str
    _key: object

    def recalled(self) -> Frame | None:
        """The file's frame, without name and digest, if one of the others is known."""
        known = _known.get(self._key)
        return known and replace(
            known, position=self.position, number=self.number, instance_uid=self.instance_uid
        )

    def remember(self, frame: Frame) -> None:
        """Keep the frame that pydicom read from the file, without a warning."""
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[self._key] = replace(frame, name="", digest="")


def sibling_of(walked: Walked, replaced: Mapping[str, tuple[float, ...]]) -> Sibling | None:
    """What of a file is its own, and what is not.

    Parameters
    ----------
    replaced
        Values that replace tags.

    Returns
    -------
    Sibling or None
        None where the file's own values are not written as the standard has it, or there is too much else.
    """
    own: dict[int, tuple[float, ...]] = {}
    instance = ""
    shared = []
    size = 0
    for element in walked.elements:
        tag, vr, value = element
        if tag in _OWN:
            if tag == _INSTANCE:
                if vr not in (b"UI", b"") or not _UID.fullmatch(value):
                    return None
                instance = value.rstrip(b"\0").decode()
            else:
                numbers = _whole(vr, value) if tag == _NUMBER else _decimals(vr, value)
                if numbers is None:
                    return None
                own[tag] = numbers
        elif tag in _GROUPS:
            return None
        else:
            shared.append(element)
            size += len(value)
    if size > _MOST_BYTES:
        return None
    key = (walked.meta, tuple(shared), walked.start, *replaced.items())
    return Sibling(own.get(_POSITION), own[_NUMBER][0] if _NUMBER in own else None, instance, key)


def _whole(vr: bytes, value: bytes) -> tuple[float] | None:
    return (float(value),) if vr in (b"IS", b"") and _WHOLE.fullmatch(value) else None


def _decimals(vr: bytes, value: bytes) -> tuple[float, ...] | None:
    parts = value.split(b"\\")
    if vr not in (b"DS", b"") or len(parts) != 3:
        return None
    if not all(len(part) <= _LONGEST_DECIMAL and _DECIMAL.fullmatch(part) for part in parts):
        return None
    numbers = tuple(map(float, parts))
    return numbers if all(map(math.isfinite, numbers)) else None
