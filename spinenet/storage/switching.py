"""Replaces the files of folders so that readers see either the old ones or the new ones, never a mixture."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from spinenet.storage.answers import refusal
from spinenet.storage.disk import LEFT_BEHIND_S
from spinenet.storage.store import Store

_HERE = -100  # AT_FDCWD of Linux
_EXCHANGE = 2  # RENAME_EXCHANGE of Linux's renameat2(2)
_STAGED = "switched-"
"""Prefix of the staging folder of one switch."""


def switch_folders(
    store: Store,
    folders: Mapping[str, Sequence[Path]],
    ours: Callable[[str], bool],
    *,
    staging: str,
    before: Callable[[], None],
) -> None:
    """Replace the files of a store's folders by local files.

    On a local disk the files are staged first, and each folder is then switched: a single file by a rename,
    else the whole folder, which most Linux file systems exchange in one step and others in two, between which
    the folder does not exist. On an object store the new files are written and then the others are deleted.

    Parameters
    ----------
    store
        The store.
    folders
        Local files by the name of the folder that they replace.
    ours
        Whether an existing file is to be replaced, by its name; other files stay.
    staging
        Folder of the store in which files are staged.
    before
        Called when all files are staged and none is switched yet.

    Raises
    ------
    StorageError
        The storage refused.
    """
    if not store.local:
        before()
        for folder, files in folders.items():
            for file in files:
                store.write(f"{folder}/{file.name}", file)
            kept = {file.name for file in files}
            store.remove(
                f"{folder}/{name}" for name in store.sizes(folder) if ours(name) and name not in kept
            )
        return
    staged = f"{staging}/{_STAGED}{uuid.uuid4().hex}"
    for folder, files in folders.items():
        for file in files:
            store.write(f"{staged}/{folder}/{file.name}", file)
    before()
    try:
        for folder in folders:
            _switch(Path(store.root, staged, folder), Path(store.root, folder), ours)
        Path(store.root, staged).rmdir()
        _sweep(Path(store.root, staging))
    except OSError as error:
        raise refusal("write", store.url(), error, local=True) from error


def _switch(staged: Path, target: Path, ours: Callable[[str], bool]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    new = {entry.name for entry in staged.iterdir()}
    old = {entry.name for entry in target.iterdir() if ours(entry.name)}
    if (len(new) == 1 and old <= new) or target.is_symlink():
        for name in sorted(new):
            (staged / name).replace(target / name)
        for name in sorted(old - new):
            (target / name).unlink(missing_ok=True)
        staged.rmdir()
        return
    shutil.copymode(target, staged)
    replaced = _exchange(staged, target)
    for entry in replaced.iterdir():
        if not ours(entry.name):
            entry.rename(target / entry.name)
    shutil.rmtree(replaced)


def _exchange(new: Path, target: Path) -> Path:
    """Put the folder ``new`` in the place of ``target``; returns where the old folder is now."""
    if sys.platform == "linux":
        exchange = getattr(ctypes.CDLL(None), "renameat2", None)
        names = os.fsencode(new), os.fsencode(target)
        if exchange is not None and exchange(_HERE, names[0], _HERE, names[1], _EXCHANGE) == 0:
            return new
    replaced = new.with_name(f"{new.name}-replaced")
    target.rename(replaced)
    new.rename(target)
    return replaced


def _sweep(staging: Path) -> None:
    """Remove the staging folders of killed writers."""
    now = time.time()
    for folder in staging.glob(f"{_STAGED}*"):
        with suppress(FileNotFoundError):
            if now - folder.stat().st_mtime > LEFT_BEHIND_S:
                shutil.rmtree(folder)
