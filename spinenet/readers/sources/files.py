"""Reads the bytes of a path's files: one listing, then one fetch."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.registry import known_implementations
from fsspec.utils import get_protocol

from spinenet.errors import ScanError
from spinenet.readers.sources.archives import members
from spinenet.readers.sources.limits import check_total
from spinenet.readers.volumes.images import is_image
from spinenet.storage import Retries
from spinenet.storage.addresses import open_address
from spinenet.storage.causes import scan_error

MAX_DEPTH = 16
"""Levels of folders searched below a path."""

ARCHIVES = (*(".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz"),)
"""Endings of archives; in a folder they are not opened with its files, but are paths of their own."""

OTHER = (
    *(".json", ".txt", ".csv", ".tsv", ".pdf", ".xml", ".html", ".htm", ".jpg", ".jpeg", ".png", ".gif"),
    *(".bmp", ".tif", ".tiff", ".md", ".log", ".bval", ".bvec", ".dll", ".inf", ".ini", ".py"),
    *(".raw", ".zraw", ".sh", ".mat", ".parquet", ".doc", ".docx", ".xls", ".xlsx", ".mp4", ".avi"),
    *(".js", ".css"),
)
"""Endings of files that are no image; they are opened only where a folder holds nothing else."""

BESIDE = (".json", ".raw", ".zraw")
"""Those of the endings :data:`OTHER` whose files may belong to an image."""

_T = TypeVar("_T")
_SINGLE_FILE_SUFFIXES = (".zip", ".tar", ".tgz", ".nii", ".gz", ".dcm", ".ima")
_REMOTE = frozenset(known_implementations) - {"file", "local"}
_RETRIES = Retries()
"""Retries shared by the whole process: a store that answered once is waited for longer."""


def is_hidden(name: str) -> bool:
    """Whether a file's or folder's name begins with a dot; such are skipped below any path."""
    return posixpath.basename(name.rstrip("/")).startswith(".")


def is_archive_name(name: str) -> bool:
    """Whether a file's name has the ending of an archive."""
    return name.lower().endswith(ARCHIVES)


def opened_in_folder(names: Iterable[str]) -> set[str]:
    """The files of a folder to open; archives and files named like no image only if there is nothing else."""
    all_names = set(names)
    likely = {name for name in all_names if not name.lower().endswith((*ARCHIVES, *OTHER))}
    if any(map(is_image, likely)):
        likely |= {name for name in all_names if name.lower().endswith(BESIDE)}
    return likely or all_names


@dataclass(frozen=True)
class Fetched:
    """The files of a path.

    Attributes
    ----------
    files
        Bytes by name; empty for files that are not opened, see :func:`opened_in_folder`. Names may contain a
        person's name, so they must not appear in messages.
    archive
        Whether they are members of an archive.
    """

    files: dict[str, bytes]
    archive: bool = False


def fetch(path: str, storage_options: Mapping[str, Any] | None = None) -> Fetched:
    """Read every file that a path stands for.

    Parameters
    ----------
    path
        A folder (searched recursively), a file, a zip or tar archive or a glob, at any fsspec URL.
    storage_options
        Options for the fsspec filesystem.

    Raises
    ------
    ScanError
        path_missing, no_files, permission_denied, storage_failed, too_large or unreadable; for an archive, as
        :func:`spinenet.readers.sources.archives.members`.
    """
    fs, sizes, passed_over = list_files(path, storage_options)
    if not sizes:
        raise ScanError("no_files", "the path holds no files")
    check_total(len(sizes), sum(sizes.values()))
    contents = _retried(lambda: _cat(fs, list(sizes)), path)
    # checked again, as some servers list no sizes
    check_total(len(contents), sum(map(len, contents.values())))
    if len(contents) == 1:
        ((name, only),) = contents.items()
        held = None if is_image(name) else members(only)
        if held is not None:
            kept = opened_in_folder(held)
            return Fetched({name: data if name in kept else b"" for name, data in held.items()}, archive=True)
    return Fetched(contents | dict.fromkeys(passed_over, b""))


def fetch_beside(
    path: str, names: Sequence[str], storage_options: Mapping[str, Any] | None = None
) -> dict[str, bytes]:
    """Read those of the named files that exist, on the filesystem of a path.

    Parameters
    ----------
    path
        The path, which chooses the filesystem.
    names
        Paths of the files on that filesystem.
    storage_options
        Options for the fsspec filesystem.

    Raises
    ------
    ScanError
        permission_denied or unreadable.
    """

    def read_existing() -> dict[str, bytes]:
        fs, _ = open_address(path, **dict(storage_options or {}))
        contents = {}
        for name in names:
            try:
                contents[name] = bytes(fs.cat_file(name))
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                continue
        return contents

    return _retried(read_existing, path)


def list_files(
    path: str, storage_options: Mapping[str, Any] | None = None
) -> tuple[Any, dict[str, int], set[str]]:
    """List the files of a path without opening them.

    Returns
    -------
    tuple
        (filesystem, sizes in bytes of the files to open by name, names of the others).

    Raises
    ------
    ScanError
        As :func:`fetch`, except for errors of the files' content.
    """
    fs, root = _retried(lambda: open_address(path, **dict(storage_options or {})), path)
    sizes = _retried(lambda: _listing(fs, root), path)
    opened = opened_in_folder(sizes)
    return fs, {name: size for name, size in sizes.items() if name in opened}, set(sizes) - opened


def _retried(action: Callable[[], _T], path: str) -> _T:
    """Call a function with retries, and errors as ScanError, whose text names no folders of people."""
    try:
        return _RETRIES.call(action)
    except ScanError:
        raise
    except ImportError:
        detail = f"a package for {get_protocol(path)}:// is not installed; see the extras of spinenet"
        raise ScanError("package_missing", detail) from None
    except Exception as error:
        name = type(error).__name__
        reason = scan_error(error)
        if reason is None and isinstance(error, ValueError) and get_protocol(path) not in _REMOTE:
            reason = ScanError("unreadable", f"the path cannot be opened ({name})")
        raise reason or ScanError("storage_failed", f"storage failed ({name})") from None


def _listing(fs: fsspec.AbstractFileSystem, root: str) -> dict[str, int]:
    """Sizes in bytes, by name, of the files of a file, folder or glob; raises the filesystem's errors."""
    if root.lower().endswith(_SINGLE_FILE_SUFFIXES):
        # listing a single file over HTTP would download it
        try:
            info = fs.info(root)
        except FileNotFoundError:
            info = {"type": "directory"}
        if info["type"] == "file":
            return {root: info.get("size") or 0}
    if any(mark in root for mark in "*?[") and not fs.exists(root):
        matches = fs.glob(root, detail=True)
        if not matches:
            raise FileNotFoundError
        hidden_too = posixpath.basename(root).startswith(".")
        matches = {name: info for name, info in matches.items() if hidden_too or not is_hidden(name)}
        # a glob of a folder's own files must not include those of its subfolders
        sizes = _sizes(fs, matches)
        if not sizes:
            for name, info in matches.items():
                sizes |= _below(fs, name) if info["type"] == "directory" else {}
        return sizes
    return _below(fs, root)


def _below(fs: fsspec.AbstractFileSystem, root: str) -> dict[str, int]:
    # the local filesystem would silently leave out folders that it may not list; others raise anyway
    strict = {"on_error": "raise"} if isinstance(fs, LocalFileSystem) and fs.isdir(root) else {}
    infos = fs.find(root, maxdepth=MAX_DEPTH, detail=True, **strict)
    if not infos:
        fs.ls(root)
    start = len(root.rstrip("/"))
    visible = {name: info for name, info in infos.items() if not any(map(is_hidden, name[start:].split("/")))}
    return _sizes(fs, {name: info or fs.info(name) for name, info in visible.items()})


def _sizes(fs: fsspec.AbstractFileSystem, infos: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Sizes of plain files, by name: a pipe or device might never end, a broken link has no content."""
    sizes = {}
    broken_link = False
    for name, listed in infos.items():
        try:
            info = fs.info(name) if listed.get("islink") else listed
        except OSError:
            if not listed.get("islink"):
                raise
            broken_link = True
            continue
        if info["type"] == "file":
            sizes[name] = int(info.get("size") or 0)
    if broken_link and not sizes:
        raise FileNotFoundError
    return sizes


def _cat(fs: fsspec.AbstractFileSystem, names: Iterable[str]) -> dict[str, bytes]:
    # cat expands globs, so a name with glob characters is read by itself
    plain = [name for name in names if not any(mark in name for mark in "*?[")]
    contents: dict[str, bytes] = dict(fs.cat(plain)) if plain else {}
    for name in names:
        if name not in contents:
            contents[name] = fs.cat_file(name)
    return contents
