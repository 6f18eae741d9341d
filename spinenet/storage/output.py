"""A folder that results are to be written to, tried before any work is begun."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from spinenet.errors import OutputError, StorageError
from spinenet.storage.store import Store

_PROBE = b"spinenet"


def open_output(url: str, folders: Sequence[str] = ()) -> Store:
    """The folder at ``url``, which can be written to as far as can be told without leaving anything there.

    A folder on a disk, or the nearest one above that is there, takes a file without a name for a moment.
    An object store is asked by the first write.

    Parameters
    ----------
    folders
        Names of folders below it that will be written to as well, where they are there.

    Raises
    ------
    OutputError
        It is a file, lies below one, or cannot be written to.
    """
    if not url.strip():
        raise OutputError("the output has no name; name a folder or a URL")
    try:
        store = Store.at(url)
    except StorageError as error:
        raise OutputError(str(error)) from error
    if store.local:
        root = Path(store.root or "/")
        for folder in (root, *(root / name for name in folders)):
            _try(folder, root)
    return store


def _try(folder: Path, root: Path) -> None:
    """Raise :class:`OutputError` unless a file can be made in ``folder``, or in what would hold it."""
    try:
        there = _nearest(folder)
        if not there.is_dir():
            below = f"{root} cannot be made: " if there in root.parents else ""
            what = "a file" if there.exists() else "a link that leads nowhere"
            raise OutputError(f"{below}{there} is {what}, not a folder; name another output")
        with tempfile.TemporaryFile(dir=there) as probe:
            probe.write(_PROBE)
            probe.flush()
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        told = error.strerror or type(error).__name__
        raise OutputError(f"cannot write to {root}: {told}; name a folder that can be written to") from None


def _nearest(folder: Path) -> Path:
    """The folder itself, or what is nearest above it that is there."""
    for place in (folder, *folder.parents):
        try:
            place.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        return place
    return Path(os.sep)
