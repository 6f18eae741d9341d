"""Subject ids that come from folders, or from a keyed hash of PatientID that leaves no trace of it."""

from __future__ import annotations

import hashlib
import hmac
import posixpath
import re
from collections.abc import Callable, Mapping
from io import BytesIO

import pydicom

from spinenet.readers.part10 import as_part10
from spinenet.readers.tags import quiet_pydicom, text_of

_BIDS = re.compile(r"sub-[A-Za-z0-9]+")
_LETTERS = 16
"""Of the hash: 64 bits, so that a million subjects collide with a chance of 1 in 10^7."""


def folder_subject(root: str, path: str) -> str:
    """A subject's id by where its series lies.

    Parameters
    ----------
    root
        Of the index.
    path
        Of the place, below it.

    Returns
    -------
    str
        The BIDS entity ``sub-...`` where the path has one, else the first folder (or archive) below the root.
    """
    parts = [part for part in path.removeprefix(root.rstrip("/")).split("/") if part]
    for part in parts:
        found = _BIDS.match(part)
        if found:
            return found.group()
    first = parts[0] if parts else posixpath.basename(root.rstrip("/"))
    return re.sub(r"\.(zip|tar|tar\.gz|tgz|nii|nii\.gz|mha|mhd)$", "", first, flags=re.IGNORECASE)


def keyed_subject(key: bytes) -> Callable[[bytes], str | None]:
    """A function from a DICOM file's first bytes to an id of its patient.

    Parameters
    ----------
    key
        Secret of the study: the same gives the same ids, and without it no id can be tried out.

    Returns
    -------
    Callable
        First letters of the HMAC-SHA256 of PatientID (0010,0020); None where there is none.
    """

    def subject_of(head: bytes) -> str | None:
        data = as_part10(head, whole=False)
        if data is None:
            return None
        with quiet_pydicom():
            header = pydicom.dcmread(BytesIO(data), stop_before_pixels=True, specific_tags=["PatientID"])
            patient = text_of(header, "PatientID").strip()
        if not patient:
            return None
        return "subject-" + hmac.new(key, patient.encode(), hashlib.sha256).hexdigest()[:_LETTERS]

    return subject_of


def _below(base: str, path: str) -> str:
    return path.rstrip("/") if path.startswith(base) else f"{base}/{path.strip('/')}"


def listed_subjects(table: Mapping[str, str], root: str) -> Callable[[str], str]:
    """A function from a path to the id of the longest listed path that it lies at or below.

    Parameters
    ----------
    table
        Subject id by path, absolute or relative to the root.
    root
        Of the index. What no listed path holds is named by :func:`folder_subject`.
    """
    base = root.rstrip("/")
    ids = {_below(base, path): name for path, name in table.items()}

    def subject_of(path: str) -> str:
        at = path.rstrip("/")
        while len(at) > len(base):
            if at in ids:
                return ids[at]
            at = posixpath.dirname(at)
        return folder_subject(root, path)

    return subject_of
