"""Writes files on a mounted disk atomically and durably: they appear whole and survive a power cut."""

from __future__ import annotations

import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

PIECE = 1 << 24
"""Bytes of a large file that are held in memory at a time."""

LEFT_BEHIND_S = 600.0
"""Age in seconds above which a temporary file is taken to be that of a killed writer."""

Content = bytes | Path | Callable[[Path], object]
"""Content of a file: its bytes, a file with them, or a function that writes them to the path it is given."""

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}\.tmp")
"""Names of temporary files, as :func:`_flushed_neighbour` makes them."""


def write_whole(target: Path, content: Content) -> None:
    """Write or replace a file atomically: a temporary file is written, flushed and renamed."""
    write_together({target: content})


def write_together(contents: Mapping[Path, Content]) -> None:
    """Write or replace several files; the first is renamed only when all are flushed to the disk.

    Files are written, and then renamed, in the given order.
    """
    temporary: dict[Path, Path] = {}
    try:
        for target, content in contents.items():
            temporary[target] = _flushed_neighbour(target, content)
        for target, file in temporary.items():
            file.replace(target)
    except BaseException:
        for file in temporary.values():
            file.unlink(missing_ok=True)
        raise
    for folder in dict.fromkeys(target.parent for target in contents):
        _flush_folder(folder)


def move_whole(file: Path, target: Path) -> None:
    """Rename a finished file within its folder, replacing ``target``."""
    _flush(file)
    file.replace(target)
    _flush_folder(target.parent)


def move_folder(folder: Path, target: Path) -> None:
    """Rename a finished folder on the same disk, replacing ``target``."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        shutil.rmtree(target)
    folder.rename(target)
    _flush_folder(target.parent)


def create_whole(target: Path, data: bytes) -> None:
    """Create a file that must not exist yet; of several writers at once, one succeeds.

    On a file system without hard links the name is taken by an exclusive open, and a kill before the flush
    leaves a truncated file: readers must treat it as damaged.

    Raises
    ------
    FileExistsError
        A file of that name exists.
    """
    temporary = _flushed_neighbour(target, data)
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError:
        _create_without_links(target, data)
    finally:
        temporary.unlink(missing_ok=True)
    _flush_folder(target.parent)


def sweep(folders: Iterable[Path], older_than_s: float = LEFT_BEHIND_S) -> int:
    """Remove the temporary files of killed writers directly in ``folders``.

    Parameters
    ----------
    folders
        Folders to sweep; those that do not exist are skipped.
    older_than_s
        Least age in seconds: a younger file's writer may still be alive.

    Returns
    -------
    int
        Number of files removed.
    """
    removed, now = 0, time.time()
    for folder in folders:
        if not folder.is_dir():
            continue
        for entry in os.scandir(folder):
            if not _TEMPORARY.fullmatch(entry.name) or not entry.is_file(follow_symlinks=False):
                continue
            path = Path(entry.path)
            try:
                if now - entry.stat(follow_symlinks=False).st_mtime > older_than_s:
                    path.unlink()
                    removed += 1
            except FileNotFoundError:
                continue  # renamed by its writer, or removed by another process that sweeps too
    return removed


def _flushed_neighbour(target: Path, content: Content) -> Path:
    """Write ``content`` to a new hidden file beside ``target``, flushed to the disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{target.name}.{uuid.uuid4().hex}.tmp"
    try:
        _write_flushed(temporary, content)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _create_without_links(target: Path, data: bytes) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        # the exclusive open succeeded, so this file is no other writer's
        target.unlink(missing_ok=True)
        raise


def _write_flushed(path: Path, content: Content) -> None:
    if callable(content):
        content(path)
        _flush(path)
        return
    with path.open("xb") as file:
        if isinstance(content, bytes):
            file.write(content)
        else:
            with content.open("rb") as source:
                shutil.copyfileobj(source, file, PIECE)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a rename survives a power cut."""
    _flush(folder)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
