"""Checks, on the machine that reads scans, whether a path alone is missing or the share that holds it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from spinenet.errors import ScanError
from spinenet.readers.sources.files import list_files

_MARKS = "*?["


@dataclass(frozen=True)
class Look:
    """Presence of a path, and of others on the same storage.

    Attributes
    ----------
    there
        Whether the path can be read.
    missing
        Uppermost folder of the path that is absent, refused or empty, or the path itself; None where the path
        can be read, and on an object store, whose answer is definite.
    seen
        Number of the other paths that can be read.
    """

    there: bool
    missing: str | None
    seen: int


def look(path: str, others: Sequence[str]) -> Look:
    """Check a path, and others that the same storage should hold."""
    seen = sum(_can_be_read(other) for other in others)
    fs, root = url_to_fs(path)
    if not isinstance(fs, LocalFileSystem):
        return Look(_can_be_read(path), None, seen)
    missing = first_missing(Path(_before_marks(root)))
    return Look(missing is None and _can_be_read(path), missing, seen)


def first_missing(path: Path) -> str | None:
    """The uppermost part of a local path that is absent, refused or an empty folder; None if none is.

    An empty folder above the path is the mount point of a share that is not mounted.
    """
    for part in (*reversed(path.parents), path):
        try:
            if part.is_dir() and part != path:
                with os.scandir(part) as entries:
                    if next(entries, None) is None:
                        return str(part)
            part.stat()
        except PermissionError:
            continue  # a folder that may not be listed may still be passed through
        except OSError:
            return str(part)
    return None


def _can_be_read(path: str) -> bool:
    """Whether a path holds a file whose first byte can be read."""
    try:
        fs, sizes, _ = list_files(path)
        return bool(sizes) and len(fs.cat_file(next(iter(sizes)), start=0, end=1)) == 1
    except (ScanError, OSError):
        return False


def _before_marks(path: str) -> str:
    """The folder of a glob before its first wildcard; another path as it is."""
    at = min((path.find(mark) for mark in _MARKS if mark in path), default=-1)
    return path if at < 0 else path[:at].rsplit("/", 1)[0]
