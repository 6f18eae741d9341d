"""Brings a file to plain DICOM part 10 (PS3.10): unpacked, and with the preamble and meta header."""

from __future__ import annotations

import re
import struct
import zlib

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, STANDARD_VR

from spinenet.readers.sources.limits import GZIP_MAGIC, UnpackedTotal, gunzip, gunzipped_head, inflate

_PREAMBLE = b"\0" * 128 + b"DICM"
_META = b"\x02\x00"
"""The group of a file's meta header, always little endian."""

_TRANSFER_SYNTAX = 0x0010
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_EXPLICIT = b"1.2.840.10008.1.2.1".ljust(len(_DEFLATED), b"\0")
_HEAD = 2048
"""Bytes of a packed file that are unpacked to see whether it is DICOM."""

_LOOKED_AT = 4
"""Number of elements at the beginning of a bare data set that must be valid."""

_SYNTAXES = (
    (b"\x08\x00", "<", True, ExplicitVRLittleEndian),
    (b"\x08\x00", "<", False, ImplicitVRLittleEndian),
    (b"\x00\x08", ">", True, ExplicitVRBigEndian),
)
"""(bytes of the first group, byte order, whether VRs are explicit, transfer syntax)."""

VRS = frozenset(str(vr).encode() for vr in STANDARD_VR)
LONG_VRS = frozenset(str(vr).encode() for vr in EXPLICIT_VR_LENGTH_32)
"""Value representations as files write them, and those whose length takes four bytes (PS3.5 7.1.2)."""

UNDEFINED_LENGTH = 0xFFFFFFFF
"""Length of an element or item that ends with a delimiter, as compressed pixels do (PS3.5 7.5, A.4)."""

_PLAIN_VRS = frozenset({"CS", "DA", "DT", "TM", "UI"})
_PLAIN = re.compile(rb"[ -~]*")


def is_dicom(data: bytes) -> bool:
    """Whether a file, packed with gzip or not, begins as DICOM; only its beginning is unpacked."""
    head = gunzipped_head(data, _HEAD) if data.startswith(GZIP_MAGIC) else data
    return _lacking(head) is not None


def as_part10(data: bytes, *, whole: bool = True, total: UnpackedTotal | None = None) -> bytes | None:
    """Bring a file to the form that the other readers take.

    Parameters
    ----------
    data
        A DICOM file, gzip'd, deflated or plain; or without its preamble; or a bare data set, in any
        uncompressed transfer syntax.
    whole
        False takes the first part of a file, of which as much is unpacked as it holds.
    total
        Of the file's path, to which it adds what it unpacks to; None where no other file is unpacked.

    Returns
    -------
    bytes or None
        The same bytes where they have that form; None if they are no DICOM.

    Raises
    ------
    ScanError
        too_large, if it unpacks to more than a path may hold; unreadable, if it cannot be unpacked.
    """
    # most gzip files are not DICOM, so the beginning is checked before the whole is unpacked
    if not is_dicom(data):
        return None
    if data.startswith(GZIP_MAGIC):
        data = gunzip(data, whole=whole, total=total)
    lacking = _lacking(data)
    if lacking is None:
        return None
    return _undeflated(lacking + data if lacking else data, whole, total)


def _lacking(data: bytes) -> bytes | None:
    """Bytes to put before a file, often none, to make it part 10; None if it is not DICOM."""
    if data[128:132] == b"DICM":
        return b""
    if data.startswith(_META) and _makes_sense(data, "<", explicit=True):
        return _PREAMBLE
    for group, order, explicit, syntax in _SYNTAXES:
        if data.startswith(group) and _makes_sense(data, order, explicit):
            uid = syntax.encode() + b"\0" * (len(syntax) % 2)
            element = struct.pack("<2H2sH", 0x0002, 0x0010, b"UI", len(uid)) + uid
            length = struct.pack("<2H2sHI", 0x0002, 0x0000, b"UL", 4, len(element))
            return _PREAMBLE + length + element
    return None


def _makes_sense(data: bytes, order: str, explicit: bool) -> bool:
    """Whether the first elements are tags of the dictionary, in order, with valid VR, length and value."""
    at, last = 0, -1
    for _ in range(_LOOKED_AT):
        if len(data) < at + 12:
            return False
        group, element, vr, short = struct.unpack_from(f"{order}2H2sH", data, at)
        tag = group << 16 | element
        if tag <= last or not (element == 0 or dictionary_has_tag(tag)):
            return False
        if not explicit:
            (length,), begin = struct.unpack_from(f"{order}I", data, at + 4), at + 8
        elif vr in LONG_VRS:
            (length,), begin = struct.unpack_from(f"{order}I", data, at + 8), at + 12
        elif vr in VRS:
            length, begin = short, at + 8
        else:
            return False
        dictionary_vr = dictionary_VR(tag) if dictionary_has_tag(tag) else "UL"
        if length == UNDEFINED_LENGTH:
            return dictionary_vr == "SQ" and last >= 0
        value = data[begin : begin + length]
        if len(value) < length or (dictionary_vr in _PLAIN_VRS and not _PLAIN.fullmatch(value.rstrip(b"\0"))):
            return False
        at, last = begin + length, tag
    return True


def _undeflated(data: bytes, whole: bool, total: UnpackedTotal | None) -> bytes:
    """The file in explicit VR little endian, if it was deflated; else the same bytes.

    pydicom would inflate a file to any size; here a limit holds.
    """
    at, syntax_at = len(_PREAMBLE), 0
    while data.startswith(_META, at) and len(data) >= at + 12:
        element, vr, short = struct.unpack_from("<H2sH", data, at + 2)
        begin, length = at + 8, short
        if vr in LONG_VRS:
            begin, length = at + 12, struct.unpack_from("<I", data, at + 8)[0]
        elif vr not in VRS:
            # a meta header must have explicit VRs, but pydicom accepts implicit ones too
            (length,) = struct.unpack_from("<I", data, at + 4)
        if element == _TRANSFER_SYNTAX:
            syntax_at = begin if data.startswith(_DEFLATED, begin) else 0
        at = begin + length
    if not syntax_at:
        return data
    head = data[:syntax_at] + _EXPLICIT + data[syntax_at + len(_EXPLICIT) : at]
    return head + inflate(data[at:], -zlib.MAX_WBITS, whole=whole, total=total)
