"""A plain header, element by element, without pydicom: what it holds is told some ten times as fast.

Only what leaves no doubt is walked: a DICOM file with its meta header, little endian, tags in ascending
order, each with a known VR and inside the file. Of anything else nothing is told: pydicom has to read it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection
from dataclasses import dataclass

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from spinenet.readers.sources.part10 import LONG_VRS, UNDEFINED_LENGTH, VRS

_FIRST, _CHARACTER_SET, _PIXEL_GROUP, _PIXEL_DATA = 0x00040000, 0x00080005, 0x7FE00000, 0x7FE00010
_META_LENGTH, _TRANSFER_SYNTAX, _META_INSTANCE = 0x00020000, 0x00020010, 0x00020003
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_MOST = 50_000
"""Elements of a data set, and items of a sequence, that are walked."""

_DEEPEST = 8
"""Sequences of unknown length inside each other."""

_SHORT = VRS - LONG_VRS
_EXPLICIT, _IMPLICIT, _WORD = struct.Struct("<HH2sH"), struct.Struct("<HHI"), struct.Struct("<I")
_NOT_WALKED = frozenset(str(uid).encode() for uid in (DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian))
_IMPLICIT_UID = str(ImplicitVRLittleEndian).encode()

Element = tuple[int, bytes, bytes]
"""Tag, VR (empty where implicit) and value."""


@dataclass
class Held:
    """A file's first bytes, of which more can be had.

    Attributes
    ----------
    data
        The bytes; may grow, but is never another object.
    front
        All bytes before it are there.
    reach
        Makes the bytes from one offset to another be there, if the file has them, and says where what is
        there from the first offset on ends.
    """

    data: bytes | bytearray
    front: int
    reach: Callable[[int, int], int]

    @classmethod
    def whole(cls, data: bytes) -> Held:
        """A file of which no more is to be had."""
        return cls(data, len(data), lambda begin, end: len(data))


@dataclass(frozen=True)
class Walked:
    """What a header holds.

    Attributes
    ----------
    meta
        Elements of the meta header, all but the instance's UID.
    elements
        The wanted ones of the data set, in ascending order.
    start
        Offset of the pixel data element.
    """

    meta: tuple[Element, ...]
    elements: tuple[Element, ...]
    start: int


class _Doubt(Exception):  # noqa: N818 - no error: pydicom reads the file instead
    """The header is not plain."""


def walk(held: Held, wanted: Collection[int]) -> Walked | None:
    """Find the wanted elements of a header.

    Parameters
    ----------
    held
        The file. As much of it is asked for as pydicom reads, when told the same tags.
    wanted
        Tags whose values are told.

    Returns
    -------
    Walked or None
        None where pydicom has to read the file.
    """
    try:
        meta, at, implicit = _walk_meta(held)
        elements, start = _walk_data_set(held, at, implicit, wanted)
    except (_Doubt, struct.error):
        return None
    return Walked(meta, elements, start)


def _walk_meta(held: Held) -> tuple[tuple[Element, ...], int, bool]:
    """(elements, where the data set begins, whether its VRs are implicit)."""
    data, at, last, syntax, ends = held.data, 132, -1, b"", 0
    found: list[Element] = []
    if data[128:132] != b"DICM":
        raise _Doubt
    while at + 12 <= held.front:
        group, element, vr, length = _EXPLICIT.unpack_from(data, at)
        tag = group << 16 | element
        if group != 2:
            # pydicom believes the header's length
            if at != ends or not syntax.replace(b".", b"").isdigit() or syntax in _NOT_WALKED:
                raise _Doubt
            return tuple(found), at, syntax == _IMPLICIT_UID
        begin = at + 8
        if vr in LONG_VRS:
            begin, (length,) = at + 12, _WORD.unpack_from(data, at + 8)
        elif vr not in _SHORT:
            raise _Doubt
        at = begin + length
        if tag <= last or at > held.front:
            raise _Doubt
        last, value = tag, bytes(data[begin:at])
        if tag == _META_LENGTH:
            ends = at + _WORD.unpack(value)[0]
        elif tag == _TRANSFER_SYNTAX:
            syntax = value.rstrip(b"\0")
        if tag != _META_INSTANCE:
            found.append((tag, vr, value))
    raise _Doubt


def _walk_data_set(
    held: Held, at: int, implicit: bool, wanted: Collection[int]
) -> tuple[tuple[Element, ...], int]:
    """(wanted elements, where the pixel data element begins)."""
    data, front, last = held.data, held.front, -1
    found: list[Element] = []
    unpack, word, short, long = _EXPLICIT.unpack_from, _WORD.unpack_from, _SHORT, LONG_VRS
    # pydicom looks whether the first element has a VR after all
    if implicit and any(65 <= byte <= 90 for byte in data[at + 4 : at + 6]):
        raise _Doubt
    for _ in range(_MOST):
        if at + 8 > front:
            front = held.reach(at, at + 8)
        group, element, vr, length = unpack(data, at)
        tag = group << 16 | element
        if tag <= last or tag < _FIRST or at + 8 > front:
            raise _Doubt
        last, begin = tag, at + 8
        if implicit:
            vr, (length,) = b"", word(data, at + 4)
        elif vr in long:
            if at + 12 > front:
                front = held.reach(begin, at + 12)
            begin, (length,) = at + 12, word(data, at + 8)
        elif vr not in short:
            raise _Doubt
        if tag >= _PIXEL_GROUP:
            if tag != _PIXEL_DATA or held.reach(at, at + 12) < at + 12:
                raise _Doubt
            return tuple(found), at
        if length == UNDEFINED_LENGTH:
            if tag in wanted or not _is_sequence(tag, vr):
                raise _Doubt
            # what pydicom reads of it is told by no more than what is there already
            at = _after_sequence(data, begin, held.front, implicit, 0)
            continue
        at = begin + length
        if tag in wanted:
            if at > front:
                front = held.reach(begin, at)
                if at > front:
                    raise _Doubt
            found.append((tag, vr, bytes(data[begin:at])))
    raise _Doubt


def _after_sequence(data: bytes | bytearray, at: int, front: int, implicit: bool, depth: int) -> int:
    """Where a sequence of unknown length ends, which has to lie before ``front``."""
    for _ in range(_MOST if depth < _DEEPEST else 0):
        if at + 8 > front:
            break
        group, element, length = _IMPLICIT.unpack_from(data, at)
        tag, at = group << 16 | element, at + 8
        if tag == _SEQUENCE_END and length == 0:
            return at
        if tag != _ITEM:
            break
        at = _after_item(
            data, at, None if length == UNDEFINED_LENGTH else at + length, front, implicit, depth
        )
    raise _Doubt


def _after_item(
    data: bytes | bytearray, at: int, end: int | None, front: int, implicit: bool, depth: int
) -> int:
    """Where an item ends: at ``end``, or where its delimiter does."""
    last = -1
    while at != end and at + 8 <= front:
        group, element, vr, length = _EXPLICIT.unpack_from(data, at)
        tag, begin = group << 16 | element, at + 8
        if tag == _ITEM_END and end is None and data[at + 4 : begin] == bytes(4):
            return begin
        # another character set may be one that pydicom warns of
        if tag <= last or tag >= _ITEM or tag == _CHARACTER_SET:
            break
        last = tag
        if implicit:
            vr, (length,) = b"", _WORD.unpack_from(data, at + 4)
        elif vr in LONG_VRS:
            begin, (length,) = at + 12, _WORD.unpack_from(data, at + 8)
        elif vr not in _SHORT:
            break
        if length == UNDEFINED_LENGTH:
            if not _is_sequence(tag, vr):
                break
            at = _after_sequence(data, begin, front, implicit, depth + 1)
        else:
            at = begin + length
    if at != end:
        raise _Doubt
    return at


def _is_sequence(tag: int, vr: bytes) -> bool:
    return vr == b"SQ" or (not vr and dictionary_has_tag(tag) and dictionary_VR(tag) == "SQ")
