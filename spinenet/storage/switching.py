"""Folders of files that are replaced so that readers see the old ones or the new ones, never some of each."""

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


def switch_folders(
    store: Store,
    folders: Mapping[str, Sequence[Path]],
    ours: Callable[[str], bool],
    *,
    staging: str,
    before: Callable[[], None],
) -> None:
    """Put files of this machine in place of those that some folders of a store hold.

    On a local disk they are written elsewhere first, and each folder is then switched: one file in place of
    one of the same name by a rename, else the whole folder, which Linux and most of its file systems do in
    one step, others in two, between which the folder is absent. An object store cannot do that: there the
    new files are written and then the others are deleted.

    Parameters
    ----------
    folders
        Files by the name of the folder that they are for.
    ours
        Whether a file that is there is to go, by its name; others stay.
    staging
        A folder of the store for what is to be switched.
    before
        Done when all is ready and nothing is switched.

    Raises
    ------
    StorageError
        The storage refused.
    """
    if not store.local:
        before()
        for folder, files in folders.items():
            for file in files:
                store.write_file(f"{folder}/{file.name}", file)
            kept = {file.name for file in files}
            store.remove(
                f"{folder}/{name}" for name in store.sizes(folder) if ours(name) and name not in kept
            )
        return
    here = f"{staging}/{_STAGED}{uuid.uuid4().hex}"
    for folder, files in folders.items():
        for file in files:
            store.write_file(f"{here}/{folder}/{file.name}", file)
    before()
    try:
        for folder in folders:
            _switch(Path(store.root, here, folder), Path(store.root, folder), ours)
        Path(store.root, here).rmdir()
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
    replaced = _change_places(staged, target)
    for entry in replaced.iterdir():
        if not ours(entry.name):
            entry.rename(target / entry.name)
    shutil.rmtree(replaced)


def _change_places(new: Path, target: Path) -> Path:
    """Have ``new`` stand where ``target`` stood, and say where that one is now."""
    if sys.platform == "linux":
        exchange = getattr(ctypes.CDLL(None), "renameat2", None)
        places = os.fsencode(new), os.fsencode(target)
        if exchange is not None and exchange(_HERE, places[0], _HERE, places[1], _EXCHANGE) == 0:
            return new
    replaced = new.with_name(f"{new.name}-replaced")
    target.rename(replaced)
    new.rename(target)
    return replaced


def _sweep(staging: Path) -> None:
    """Remove what killed writers left."""
    now = time.time()
    for folder in staging.glob(f"{_STAGED}*"):
        with suppress(FileNotFoundError):
            if now - folder.stat().st_mtime > LEFT_BEHIND_S:
                shutil.rmtree(folder)
