"""Opens an output folder, and checks that it is writable before any work begins."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from spinenet.errors import OutputError, StorageError
from spinenet.storage.store import Store

_PROBE = b"spinenet"
"""Bytes that are written to try a folder."""


def open_output(url: str, folders: Sequence[str] = ()) -> Store:
    """Open the folder at ``url`` for writing, after a check that leaves nothing behind.

    On a disk an unnamed temporary file is written to the folder, or to its nearest existing parent. An object
    store is not checked before the first write.

    Parameters
    ----------
    url
        Local path or URL of the folder.
    folders
        Names of subfolders to check too, where they exist.

    Raises
    ------
    OutputError
        The path is a file, lies below one, or is not writable.
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
            _check_writable(folder, root)
    return store


def _check_writable(folder: Path, root: Path) -> None:
    """Raise :class:`OutputError` unless a file can be made in ``folder`` or its nearest existing parent."""
    try:
        nearest = _nearest(folder)
        if not nearest.is_dir():
            below = f"{root} cannot be made: " if nearest in root.parents else ""
            kind = "a file" if nearest.exists() else "a link that leads nowhere"
            raise OutputError(f"{below}{nearest} is {kind}, not a folder; name another output")
        with tempfile.TemporaryFile(dir=nearest) as probe:
            probe.write(_PROBE)
            probe.flush()
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        cause = error.strerror or type(error).__name__
        raise OutputError(f"cannot write to {root}: {cause}; name a folder that can be written to") from None


def _nearest(folder: Path) -> Path:
    """The folder itself or its nearest existing parent."""
    for place in (folder, *folder.parents):
        try:
            place.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        return place
    return Path(os.sep)
