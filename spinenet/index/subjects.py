"""Subject ids made from folder names, or from a keyed hash of PatientID."""

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
"""Endings, the longest first, that are cut off the name of a file named after its subject."""

_LETTERS = 16
"""Hexadecimal digits of the hash: 64 bits, so a million subjects collide with a chance of 1 in 10^7."""


def folder_subjects(root: str, paths: Iterable[str], folders: Folders) -> Callable[[str], str]:
    """Make the function that gives a path's subject id from the folders of all series of an index.

    Parameters
    ----------
    root
        Root folder of the index.
    paths
        Paths of all series. Where they lie in more than one dataset or site, equal names are different
        people and the id begins with the dataset's folders; in a single dataset it is the name alone.
    folders
        Folder names that say what lies below them.
    """
    # folders directly below the root that are no BIDS subjects do not make a dataset of their own
    named = (_dataset_and_subject(root, path, folders) for path in paths)
    datasets = {dataset for dataset, subject in named if dataset or _BIDS.match(subject)}

    def subject_of(path: str) -> str:
        dataset, subject = _dataset_and_subject(root, path, folders)
        return f"{dataset}_{subject}" if dataset and len(datasets) > 1 else subject

    return subject_of


def folder_subject(root: str, path: str) -> str:
    """A subject's name by the path of its series, without its dataset.

    Parameters
    ----------
    root
        Root folder of the index.
    path
        Path of the place, below the root.

    Returns
    -------
    str
        The BIDS entity ``sub-...`` where the path has one, else the first folder (or archive) below the root.
    """
    return _dataset_and_subject(root, path, Folders())[1]


def _dataset_and_subject(root: str, path: str, folders: Folders) -> tuple[str, str]:
    """(name of the dataset or site, from its folders; name of the subject in it)."""
    below = path.removeprefix(root.rstrip("/"))
    parts = [part for part in below.split("/") if part and part != DIRECTLY]
    for position, part in enumerate(parts):
        entity = _BIDS.match(part)
        if entity:
            return _dataset(parts[:position], folders), entity.group()
    # folders of sites and neutral folders are skipped as long as a part is left to name the subject
    first = 0
    while first < len(parts) - 1 and (
        matches(parts[first], folders.sites)
        or (first < len(parts) - 2 and matches(parts[first], folders.neutral))
    ):
        first += 1
    named = parts[first] if parts else posixpath.basename(root.rstrip("/"))
    # the longest ending first: ".tar.gz" before ".gz"
    subject = next((named[: -len(ending)] for ending in _ENDINGS if named.lower().endswith(ending)), named)
    return _dataset(parts[:first], folders), subject


def _dataset(parts: Sequence[str], folders: Folders) -> str:
    """The dataset's name from the folders above a subject.

    It ends before a folder of derived or source data, as those are of the same people.
    """
    kept = []
    for part in parts:
        if matches(part, (*folders.derived, *folders.source)):
            break
        if not matches(part, folders.neutral):
            kept.append(part)
    return "_".join(kept)


def keyed_subject(key: bytes) -> Callable[[bytes], str | None]:
    """Make the function that gives a patient's id from the first bytes of a DICOM file.

    Parameters
    ----------
    key
        Secret key of the study: equal keys give equal ids, and without it ids cannot be guessed and checked.

    Returns
    -------
    Callable
        Function that returns the first digits of the HMAC-SHA256 of PatientID (0010,0020), or None where
        the tag is empty.
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
    """Make the function that gives a path the subject id of the deepest listed path at or above it.

    Parameters
    ----------
    table
        Subject ids by path, absolute or relative to the root.
    root
        Root folder of the index.
    otherwise
        Function that names the subject of a path that no listed path contains.
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
