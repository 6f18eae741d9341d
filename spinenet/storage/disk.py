"""Files on a mounted disk that appear whole, and outlast a power cut."""

from __future__ import annotations

import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

PIECE = 1 << 24
"""Bytes of a large file that are in memory at a time."""

LEFT_BEHIND_S = 600.0
"""Age at which a temporary file is taken for one whose writer was killed."""

Content = bytes | Path | Callable[[Path], object]
"""What a file is to hold: its bytes, a file that holds them, or what writes them to the path it is given."""

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}\.tmp")


def write_whole(target: Path, content: Content) -> None:
    """Write a file in place of any that is there: a temporary name, flushed, renamed."""
    write_together({target: content})


def write_together(contents: Mapping[Path, Content]) -> None:
    """Write files in place of any that are there, none of them before all are on the disk.

    Contents are written, and then the names are taken, in the order given.
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
    """Give a finished file its name, in place of any that is there; both are in one folder."""
    _flush(file)
    file.replace(target)
    _flush_folder(target.parent)


def move_folder(folder: Path, target: Path) -> None:
    """Give a finished folder its name on the same disk, in place of any that is there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        shutil.rmtree(target)
    folder.rename(target)
    _flush_folder(target.parent)


def create_whole(target: Path, data: bytes) -> None:
    """Write a file that must not be there yet; of many at once, one succeeds.

    Some mounted file systems have no hard links. There the name is taken by an exclusive open, and a kill
    between that and the flush leaves a file cut short: readers of such files must take it as damaged.

    Raises
    ------
    FileExistsError
        There is a file of that name.
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
    """Remove temporary files that killed writers left directly in ``folders``.

    Parameters
    ----------
    older_than_s
        Younger ones may be somebody's who is still writing.

    Returns
    -------
    int
        Files removed.
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
                continue  # its writer was alive, or another flow sweeps too
    return removed


def _flushed_neighbour(target: Path, content: Content) -> Path:
    """A new hidden file beside ``target`` that holds ``content`` on the disk itself."""
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
        # The name is ours alone, so that nobody's file is taken away.
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
    """Make a rename outlast a power cut."""
    _flush(folder)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
