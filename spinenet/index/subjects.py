"""Subject ids that come from folders, or from a keyed hash of PatientID that leaves no trace of it."""

from __future__ import annotations

import hashlib
import hmac
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import BytesIO

import pydicom

from spinenet.index.candidates import Folders, matches
from spinenet.index.rows import DIRECTLY
from spinenet.readers.dicom.tags import quiet_pydicom, text_of
from spinenet.readers.sources.files import ARCHIVES
from spinenet.readers.sources.part10 import as_part10
from spinenet.readers.volumes.images import VOLUMES

_BIDS = re.compile(r"sub-[A-Za-z0-9]+")
_ENDINGS = sorted((*ARCHIVES, *VOLUMES, ".exe"), key=len, reverse=True)
"""Of files that are named after a subject."""

_LETTERS = 16
"""Of the hash: 64 bits, so that a million subjects collide with a chance of 1 in 10^7."""


def folder_subjects(root: str, paths: Iterable[str], folders: Folders) -> Callable[[str], str]:
    """A function from a path to its subject's id, by where all series of an index lie.

    Parameters
    ----------
    root
        Of the index.
    paths
        Of all series: where they lie in more than one dataset or site, equal names are other people, and the
        id begins with the dataset's folders. In a single dataset it is the subject's name alone.
    folders
        What names of folders tell.
    """
    # a folder at the root that is no subject of BIDS is one of no other dataset
    named = (_dataset_and_subject(root, path, folders) for path in paths)
    datasets = {dataset for dataset, subject in named if dataset or _BIDS.match(subject)}

    def subject_of(path: str) -> str:
        dataset, subject = _dataset_and_subject(root, path, folders)
        return f"{dataset}_{subject}" if dataset and len(datasets) > 1 else subject

    return subject_of


def folder_subject(root: str, path: str) -> str:
    """A subject's name by where its series lies, in whatever dataset.

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
    return _dataset_and_subject(root, path, Folders())[1]


def _dataset_and_subject(root: str, path: str, folders: Folders) -> tuple[str, str]:
    """(folders of a dataset or site, joined; name of the subject in it)."""
    below = path.removeprefix(root.rstrip("/"))
    parts = [part for part in below.split("/") if part and part != DIRECTLY]
    for place, part in enumerate(parts):
        found = _BIDS.match(part)
        if found:
            return _dataset(parts[:place], folders), found.group()
    # names of sites and of mere containers are passed, as long as something is left to name the subject
    first = 0
    while first < len(parts) - 1 and (
        matches(parts[first], folders.sites)
        or (first < len(parts) - 2 and matches(parts[first], folders.neutral))
    ):
        first += 1
    named = parts[first] if parts else posixpath.basename(root.rstrip("/"))
    # the longest ending first: ".tar.gz" before ".gz"
    subject = next((named[: -len(one)] for one in _ENDINGS if named.lower().endswith(one)), named)
    return _dataset(parts[:first], folders), subject


def _dataset(parts: Sequence[str], folders: Folders) -> str:
    """The folders above a subject telling datasets apart; derivatives and sources are of the same people."""
    kept = []
    for part in parts:
        if matches(part, (*folders.derived, *folders.source)):
            break
        if not matches(part, folders.neutral):
            kept.append(part)
    return "_".join(kept)


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


def listed_subjects(
    table: Mapping[str, str], root: str, otherwise: Callable[[str], str]
) -> Callable[[str], str]:
    """A function from a path to the id of the longest listed path that it lies at or below.

    Parameters
    ----------
    table
        Subject id by path, absolute or relative to the root.
    root
        Of the index.
    otherwise
        Names what no listed path holds.
    """
    base = root.rstrip("/")
    ids = {_below(base, path): name for path, name in table.items()}

    def subject_of(path: str) -> str:
        at = path.rstrip("/")
        while len(at) > len(base):
            if at in ids:
                return ids[at]
            at = posixpath.dirname(at)
        return otherwise(path)

    return subject_of
