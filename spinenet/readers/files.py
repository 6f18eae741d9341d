"""A path becomes the bytes of its files: one listing, then one fetch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import fsspec
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.registry import known_implementations
from fsspec.utils import get_protocol

from spinenet.errors import ScanError
from spinenet.readers.archives import members
from spinenet.readers.limits import check_total
from spinenet.storage import Retries
from spinenet.storage.causes import scan_error

MAX_DEPTH = 16
"""Levels of folders that are searched below a path."""

_T = TypeVar("_T")
_SINGLE_FILE_SUFFIXES = (".zip", ".tar", ".tgz", ".nii", ".gz", ".dcm", ".ima")
_REMOTE = frozenset(known_implementations) - {"file", "local"}
_RETRIES = Retries()
"""Of the whole process: a store that answered before is waited for longer."""


def fetch(path: str, storage_options: Mapping[str, Any] | None = None) -> dict[str, bytes]:
    """Read every file that a path stands for.

    Parameters
    ----------
    path
        A folder (searched recursively), a file, a zip or tar archive or a glob, at any fsspec URL.
    storage_options
        Passed to the filesystem.

    Returns
    -------
    dict
        Bytes by name. Names may hold a person's name, so they belong in no message.

    Raises
    ------
    ScanError
        path_missing, no_files, too_large or unreadable; where storage fails, as
        :func:`spinenet.storage.causes.scan_error`; of an archive, as
        :func:`spinenet.readers.archives.members`.
    """
    fs, sizes = list_files(path, storage_options)
    if not sizes:
        raise ScanError("no_files", "the path holds no files")
    check_total(len(sizes), sum(sizes.values()))
    contents = _guarded(lambda: _cat(fs, list(sizes)), path)
    # sizes are what the listing said, and some servers say nothing
    check_total(len(contents), sum(map(len, contents.values())))
    if len(contents) == 1:
        (only,) = contents.values()
        return members(only) or contents
    return contents


def list_files(path: str, storage_options: Mapping[str, Any] | None = None) -> tuple[Any, dict[str, int]]:
    """(filesystem, bytes by name) of every file that a path stands for; errors as :func:`fetch`."""
    fs, root = _guarded(lambda: url_to_fs(path, **dict(storage_options or {})), path)
    return fs, _guarded(lambda: _listing(fs, root), path)


def _guarded(action: Callable[[], _T], path: str) -> _T:
    """Turn what a filesystem may raise into a reason; its own text may name people's folders."""
    try:
        return _RETRIES.call(action)
    except ScanError:
        raise
    except ImportError:
        detail = f"a package for {get_protocol(path)}:// is not installed; see the extras of spinenet"
        raise ScanError("package_missing", detail) from None
    except Exception as error:
        name = type(error).__name__
        known = scan_error(error)
        if known is None and isinstance(error, ValueError) and get_protocol(path) not in _REMOTE:
            known = ScanError("unreadable", f"the path cannot be opened ({name})")
        raise known or ScanError("storage_failed", f"storage failed ({name})") from None


def _listing(fs: fsspec.AbstractFileSystem, root: str) -> dict[str, int]:
    """Size by name of the files that ``root`` stands for; raises what the filesystem raises."""
    if root.lower().endswith(_SINGLE_FILE_SUFFIXES):
        # a listing of a file costs a web server the whole file
        try:
            info = fs.info(root)
        except FileNotFoundError:
            info = {"type": "directory"}
        if info["type"] == "file":
            return {root: info.get("size") or 0}
    if any(mark in root for mark in "*?[") and not fs.exists(root):
        found = fs.glob(root, detail=True)
        if not found:
            raise FileNotFoundError
        sizes: dict[str, int] = {}
        for name, info in found.items():
            sizes |= _below(fs, name) if info["type"] == "directory" else _sizes(fs, {name: info})
        return sizes
    return _below(fs, root)


def _below(fs: fsspec.AbstractFileSystem, root: str) -> dict[str, int]:
    # other filesystems raise of themselves; the local one would leave out what it may not list
    strict = {"on_error": "raise"} if isinstance(fs, LocalFileSystem) and fs.isdir(root) else {}
    found = fs.find(root, maxdepth=MAX_DEPTH, detail=True, **strict)
    if not found:
        fs.ls(root)
    return _sizes(fs, {name: info or fs.info(name) for name, info in found.items()})


def _sizes(fs: fsspec.AbstractFileSystem, found: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Plain files only: a pipe or a device would never end."""
    sizes = {}
    for name, listed in found.items():
        info = fs.info(name) if listed.get("islink") else listed
        if info["type"] == "file":
            sizes[name] = int(info.get("size") or 0)
    return sizes


def _cat(fs: fsspec.AbstractFileSystem, names: Iterable[str]) -> dict[str, bytes]:
    # cat expands globs, so a name that merely looks like one is read by itself
    plain = [name for name in names if not any(mark in name for mark in "*?[")]
    contents: dict[str, bytes] = dict(fs.cat(plain)) if plain else {}
    for name in names:
        if name not in contents:
            contents[name] = fs.cat_file(name)
    return contents
